"""How an algebra of Pauli strings splits: its centre, and simple ideals.

Strings of different components of the anticommutation graph commute, so a component spans an ideal; a string on its own
belongs to the centre. A component is simple unless there are strings Q that commute with all of it and map it to itself
by multiplication: with (1 + Q) / 2 and (1 - Q) / 2 it splits into two ideals of the same size, with a group of 2^c such
Q (the identity among them) into 2^c.

Source: the classification of Aguilar, Cichy, Eisert, Bittel, arXiv:2408.00081, by which nothing splits further.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from qiskit.quantum_info import PauliList

from studies.lie.strings import Strings, closure


@dataclass(frozen=True)
class Component:
    """Strings whose anticommutation graph is connected.

    Attributes:
        strings: of the component, orbit by orbit: string |group| j + k is up to its sign group[k] times string |group| j.
        group: the strings that commute with the component and map it to itself, the identity first; the product of
            number j and number k is number j xor k.
    """

    strings: Strings
    group: Strings

    @property
    def n_ideals(self) -> int:
        """How many simple ideals it is the sum of."""
        return len(self.group)

    @property
    def dimension(self) -> int:
        """Of each of its simple ideals."""
        return len(self.strings) // len(self.group)


@dataclass(frozen=True)
class Algebra:
    """The dynamical Lie algebra of Pauli strings, split.

    Attributes:
        strings: its basis.
        centre: those that commute with all.
        components: of all others; each is a sum of isomorphic simple ideals.
    """

    strings: Strings
    centre: Strings
    components: tuple[Component, ...]

    @classmethod
    def of(cls, generators: Strings | PauliList | Sequence[str]) -> "Algebra":
        """What the generators, placed individually, span with their nested commutators.

        Raises:
            LabError: no generator, or more than 64 qubits.
        """
        generators = generators if isinstance(generators, Strings) else Strings.of(generators)
        parts = _connected(generators.distinct())
        centre = Strings.joined([generators[:0], *(part for part in parts if len(part) == 1)])
        components = tuple(_component(part) for part in parts if len(part) > 1)
        return cls(Strings.joined([centre, *(component.strings for component in components)]), centre, components)

    @property
    def dimension(self) -> int:
        """Of the whole algebra."""
        return len(self.strings)

    @property
    def ideals(self) -> list[int]:
        """The dimensions of the simple ideals, the largest first."""
        return sorted((c.dimension for c in self.components for _ in range(c.n_ideals)), reverse=True)


def _connected(strings: Strings) -> list[Strings]:
    """The components of the anticommutation graph of a few strings.

    Those of the generators are those of the whole algebra: a nested commutator anticommutes with one of its own
    generators, and with a string of another component only if one of its generators does.
    """
    from scipy.sparse.csgraph import connected_components

    table = np.array([strings.anticommute(strings[j : j + 1]) for j in range(len(strings))])
    count, owner = connected_components(table, directed=False)
    return [strings[owner == number] for number in range(count)]


def _component(generators: Strings) -> Component:
    """What connected generators span, with the group that splits it."""
    strings = closure(generators)
    # Times a string of the component each of the group is one of the component, so these are all there can be.
    candidates = strings.times(strings[:1])
    keep = np.ones(len(candidates), bool)
    for number in range(len(generators)):
        keep &= ~candidates.anticommute(generators[number : number + 1])
    leaders, group = strings, strings[:1].times(strings[:1])
    for row in _independent(candidates[keep]):
        leaders, group = _cleared(leaders, row), Strings.joined([group, group.times(row)])
    leaders = leaders.distinct()
    x, z = (np.bitwise_xor.outer(*masks).ravel() for masks in ((leaders.x, group.x), (leaders.z, group.z)))
    return Component(Strings(strings.n_qubits, x, z), group)


def _independent(group: Strings) -> list[Strings]:
    """Strings whose products are the group; each one's lowest bit is missing in those that follow it."""
    rows: list[Strings] = []
    while len(group := group[(group.x | group.z) != 0]):
        rows.append(group[:1])
        group = _cleared(group, group[:1])
    return rows


def _cleared(strings: Strings, row: Strings) -> Strings:
    """The strings, multiplied with the row's where that takes its lowest bit out of them."""
    word, words = (row.x, strings.x) if row.x[0] else (row.z, strings.z)
    has = (words & word & (~word + np.uint64(1))) != 0
    return Strings(strings.n_qubits, *(np.where(has, m ^ r, m) for m, r in ((strings.x, row.x), (strings.z, row.z))))
