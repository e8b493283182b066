"""A normal form as tables of passes: planned once per circuit, read by the fast kernels at run time.

A pass goes over all rows of a block once. Its columns are named below; masks and row numbers fit 64-bit integers. Turns are
taken up to three at a time: the group's rows are a base and its translates by the turns' flips, and bases are chosen so that
in translate e the bit of turn j is bit j of e. No kernel ever asks for a sign.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from circuits.paulis import PauliSums
from circuits.program import Program
from qml.native.normal_form import Angle, NormalForm, Phase, Turn, normal_form

KIND, FIRST, COUNT, FLIPS, ANGLES, COLUMNS = 0, 1, 2, 3, 6, 9
TURNS_1, TURNS_2, TURNS_3, DIAGONAL, PHASES = range(1, 6)


@dataclass(frozen=True)
class Plan:
    """Everything about a program that does not change from run to run.

    Attributes:
        form: what it was planned from.
        passes: (n_passes, COLUMNS). For turns, FIRST and COUNT are a range of `bases`, FLIPS the flips of up to three
            turns, ANGLES their angle rows. For PHASES they are a range of `phases`; for DIAGONAL, FIRST is its number.
        phases: (n, 3): read mask, inverted, angle row, of phases that differ between lanes.
        slot, coefficient: of each angle row; slot -1 is a constant.
        diagonals: (n, 3): number of the diagonal, read mask, angle row, of phases that all lanes share.
        diagonal_signs: (n,): -1 where that phase is inverted.
        terms: (n, 4): flip, read, power of i, and observable, of each Pauli term, in physical masks.
    """

    n_qubits: int
    form: NormalForm
    passes: np.ndarray
    bases: np.ndarray
    phases: np.ndarray
    slot: np.ndarray
    coefficient: np.ndarray
    n_diagonals: int
    diagonals: np.ndarray
    diagonal_signs: np.ndarray
    terms: np.ndarray
    term_coefficients: np.ndarray


class _Writer:
    """Collects the tables while the steps are walked."""

    def __init__(self, n_qubits: int, differs: Sequence[bool]):
        self.n_qubits, self._differs = n_qubits, differs
        self.passes: list[list[int]] = []
        self.bases: list[np.ndarray] = []
        self._n_bases = 0
        self._places: dict[tuple, tuple[int, int]] = {}
        self.phases: list[tuple[int, int, int]] = []
        self.angles: list[Angle] = []
        self.diagonals: list[tuple[int, int, int]] = []
        self.signs: list[float] = []
        self.n_diagonals = 0

    def angle(self, angle: Angle) -> int:
        self.angles.append(angle)
        return len(self.angles) - 1

    def turns(self, group: list[Turn]) -> None:
        key = tuple((turn.flip, turn.read, turn.inverted) for turn in group)
        if key not in self._places:  # layers that repeat their masks share one table
            bases = _bases(self.n_qubits, group)
            self._places[key] = self._n_bases, len(bases)
            self.bases.append(bases)
            self._n_bases += len(bases)
        first, count = self._places[key]
        row = [len(group), first, count] + [0] * (COLUMNS - FLIPS)
        for j, turn in enumerate(group):
            row[FLIPS + j], row[ANGLES + j] = turn.flip, self.angle(turn.angle)
        self.passes.append(row)

    def step_phases(self, phases: list[Phase]) -> None:
        own = [p for p in phases if p.angle.slot is not None and self._differs[p.angle.slot]]
        shared = [p for p in phases if p not in own]
        if shared:
            self.passes.append([DIAGONAL, self.n_diagonals] + [0] * (COLUMNS - 2))
            for phase in shared:
                self.diagonals.append((self.n_diagonals, phase.read, self.angle(phase.angle)))
                self.signs.append(-1.0 if phase.inverted else 1.0)
            self.n_diagonals += 1
        if own:
            self.passes.append([PHASES, len(self.phases), len(own)] + [0] * (COLUMNS - 3))
            self.phases.extend((p.read, p.inverted, self.angle(p.angle)) for p in own)


def plan(program: Program, sums: PauliSums, differs: Sequence[bool]) -> Plan:
    """The tables of a program and its observables.

    Args:
        differs: for each slot, whether its value differs between the samples of a batch.
    """
    form = normal_form(program)
    writer = _Writer(program.n_qubits, differs)
    for step in form.steps:
        for group in _grouped(step.turns):
            writer.turns(group)
        writer.step_phases(step.phases)
    terms = _physical_terms(form, sums)
    slots = [-1 if a.slot is None else a.slot for a in writer.angles]
    return Plan(
        program.n_qubits,
        form,
        _table(writer.passes, COLUMNS),
        np.concatenate([*writer.bases, np.zeros(1)]).astype(np.int64),
        _table(writer.phases, 3),
        np.array(slots, np.int64),
        np.array([a.coefficient for a in writer.angles]),
        writer.n_diagonals,
        _table(writer.diagonals, 3),
        np.array(writer.signs),
        *terms,
    )


def _table(rows: list, columns: int) -> np.ndarray:
    return np.array(rows, np.int64).reshape(-1, columns)


def _grouped(turns: list[Turn]) -> list[list[Turn]]:
    """Neighbours in the list, up to three, none of which flips another's bit."""
    groups: list[list[Turn]] = []
    for turn in turns:
        group = groups[-1] if groups else []
        if 0 < len(group) < 3 and all(_independent(turn, other) for other in group):
            group.append(turn)
        else:
            groups.append([turn])
    return groups


def _independent(a: Turn, b: Turn) -> bool:
    return (a.flip & b.read).bit_count() % 2 == 0 and (b.flip & a.read).bit_count() % 2 == 0


def _bases(n_qubits: int, group: list[Turn]) -> np.ndarray:
    """One row of each coset of the group's flips: the row in which every turn's bit is 0."""
    rows = np.arange(2**n_qubits)
    zero = np.ones(len(rows), bool)
    for turn in group:
        zero &= (np.bitwise_count(rows & turn.read) & 1) == turn.inverted
    return rows[zero]


def _physical_terms(form: NormalForm, sums: PauliSums) -> tuple[np.ndarray, np.ndarray]:
    rows, coefficients = [], sums.coefficients.copy()
    for j, (x, z, n_y, owner) in enumerate(zip(sums.x, sums.z, sums.n_y, sums.owner)):
        flip, read, inverted = form.string(int(x), int(z))
        rows.append((flip, read, int(n_y) % 4, int(owner)))
        coefficients[j] *= -1.0 if inverted else 1.0
    return _table(rows, 4), coefficients
