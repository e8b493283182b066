"""The published dynamical Lie algebras of spin chains, beside the generators that are to span them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import combinations
from math import comb

from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError


@dataclass(frozen=True)
class Published:
    """`copies` times one simple algebra, and a centre of so many dimensions.

    Attributes:
        kind: "su", "so" or "sp", with sp(N) of dimension N (2 N + 1).
    """

    kind: str
    size: int
    copies: int = 1
    centre: int = 0

    @property
    def dimension(self) -> int:
        """Over the real numbers."""
        n = self.size
        return self.copies * {"su": n**2 - 1, "so": n * (n - 1) // 2, "sp": n * (2 * n + 1)}[self.kind] + self.centre

    @property
    def ideals(self) -> list[int]:
        """Dimensions of the simple ideals: so(4) is the sum of two of dimension 3."""
        if (self.kind, self.size) == ("so", 4):
            return [3] * 2 * self.copies
        return [(self.dimension - self.centre) // self.copies] * self.copies if self.copies else []

    def __str__(self) -> str:
        simple = f"{self.copies if self.copies > 1 else ''} {self.kind}({self.size})".strip() if self.copies else ""
        centre = {0: "", 1: "u(1)"}.get(self.centre, f"u(1)^{self.centre}")
        return " + ".join(part for part in (simple, centre) if part)


@dataclass(frozen=True)
class Chain:
    """Generators placed individually on a chain: every one has an angle of its own.

    Attributes:
        words: letters on neighbours j and j + 1, or on each qubit.
        open, closed: what was published of the two chains, as functions of n.
        least_open, least_closed: the n from which on it holds.
    """

    words: tuple[str, ...]
    open: Callable[[int], Published]
    closed: Callable[[int], Published]
    least_open: int = 3
    least_closed: int = 3

    def generators(self, n_qubits: int, closed: bool) -> list[str]:
        """Labels, qubit 0 rightmost."""
        return [label for word in self.words for label in chain(word, n_qubits, closed)]

    def published(self, n_qubits: int, closed: bool) -> Published | None:
        """The algebra by the theorem, None where it says nothing."""
        law, least = (self.closed, self.least_closed) if closed else (self.open, self.least_open)
        return law(n_qubits) if n_qubits >= least else None


def chain(word: str, n_qubits: int, closed: bool = False) -> list[str]:
    """The labels of a word of one or two letters at every place of a chain."""
    places = n_qubits if closed or len(word) == 1 else n_qubits - 1
    return [placed({(j + k) % n_qubits: letter for k, letter in enumerate(word)}, n_qubits) for j in range(places)]


def placed(letters: dict[int, str], n_qubits: int) -> str:
    """The label with these letters on these qubits, qubit 0 rightmost."""
    return "".join(letters.get(qubit, "I") for qubit in reversed(range(n_qubits)))


def _abelian(dimension: int) -> Published:
    return Published("su", 2, 0, dimension)


def _su(fewer: int = 0, copies: int = 1, centre: int = 0) -> Callable[[int], Published]:
    """Copies of su(2^(n - fewer))."""
    return lambda n: Published("su", 2 ** (n - fewer), copies, centre)


def _so(size: Callable[[int], int], copies: int = 1) -> Callable[[int], Published]:
    return lambda n: Published("so", size(n), copies)


def _sp(centre: int = 0) -> Callable[[int], Published]:
    return lambda n: Published("sp", 2 ** (n - 2), 1, centre)


def _by_parity(odd: Callable[[int], Published], even: Callable[[int], Published]) -> Callable[[int], Published]:
    return lambda n: (odd if n % 2 else even)(n)


def _a3(n: int, closed: bool) -> Published:
    if closed and n % 2:
        return Published("su", 2 ** (n - 1), 2)
    return {
        0: Published("so", 2 ** (n - 2), 4),
        1: Published("so", 2 ** (n - 1)),
        2: Published("su", 2 ** (n - 2), 4 if closed else 2),
        3: Published("sp", 2 ** (n - 2)),
        4: Published("sp", 2 ** (n - 3), 4),
    }[min(n % 8, 8 - n % 8)]


def _a5(n: int, closed: bool) -> Published:
    if closed and n % 3:
        return Published("so", 2**n)
    return {
        0: Published("so", 2 ** (n - 2), 4),
        1: Published("so", 2 ** (n - 1)),
        2: Published("su", 2 ** (n - 2), 2),
        3: Published("sp", 2 ** (n - 2)),
    }[min(n % 6, 6 - n % 6)]


_ALL = _so(lambda n: 2**n)
_FOUR = _by_parity(_su(1), _su(2, 4))

# Names, words and algebras as Wiersema, Kokcu, Kemper, Bakalov, npj Quantum Information 10, 110 (2024), arXiv:2309.05690.
CHAINS = {
    "a0": Chain(("XX",), lambda n: _abelian(n - 1), lambda n: _abelian(n)),
    "a1": Chain(("XY",), _so(lambda n: n), _so(lambda n: n, 2)),
    "a2": Chain(("XY", "YX"), _so(lambda n: n, 2), _so(lambda n: n, 4)),
    "a3": Chain(("XX", "YZ"), lambda n: _a3(n, False), lambda n: _a3(n, True)),
    "a4": Chain(("XX", "YY"), _so(lambda n: n, 2), _by_parity(_so(lambda n: 2 * n), _so(lambda n: n, 4))),
    "a5": Chain(("XY", "YZ"), lambda n: _a5(n, False), lambda n: _a5(n, True)),
    "a6": Chain(("XX", "YZ", "ZY"), _FOUR, _by_parity(_su(1, 2), _su(2, 4))),
    "a7": Chain(("XX", "YY", "ZZ"), _FOUR, _FOUR),
    "a8": Chain(("XX", "XZ"), _so(lambda n: 2 * n - 1), _so(lambda n: 2 * n, 2)),
    "a9": Chain(("XY", "XZ"), _sp(), _ALL, least_closed=4),
    "a10": Chain(("XY", "YZ", "ZX"), _FOUR, lambda n: (_su() if n % 3 else _FOUR)(n)),
    "a11": Chain(("XY", "YX", "YZ"), _ALL, _ALL, least_open=4),
    "a12": Chain(("XX", "XY", "YZ"), _su(), _su(), least_open=4),
    "a13": Chain(("XX", "YY", "YZ"), _su(1, 2), _su(1, 2)),
    "a14": Chain(("XX", "YY", "XY"), _so(lambda n: 2 * n), _so(lambda n: 2 * n, 2)),
    "a15": Chain(("XX", "XY", "XZ"), _su(1, 2), _su()),
    "a16": Chain(("XY", "YX", "YZ", "ZY"), _ALL, _ALL),
    "a17": Chain(("XX", "XY", "ZX"), _su(), _su(), least_open=4),
    "a18": Chain(("XX", "XZ", "YY", "ZY"), _su(), _su()),
    "a19": Chain(("XX", "XY", "ZX", "YZ"), _su(), _su()),
    "a20": Chain(("XX", "YY", "ZZ", "ZY"), _su(1, 2), _su(1, 2)),
    "a21": Chain(("XX", "YY", "XY", "ZX"), _su(), _su()),
    "a22": Chain(("XX", "XY", "XZ", "YX"), _su(), _su()),
    "b0": Chain(("X",), lambda n: _abelian(n), lambda n: _abelian(n)),
    "b1": Chain(("XX", "X"), lambda n: _abelian(2 * n - 1), lambda n: _abelian(2 * n)),
    "b2": Chain(("XY", "X"), _sp(1), _ALL, least_closed=4),
    "b3": Chain(("X", "Y"), lambda n: Published("su", 2, n), lambda n: Published("su", 2, n)),
    "b4": Chain(("XX", "XY", "XZ", "X"), _su(1, 2, 1), _su()),
    "Heisenberg, Z field": Chain(("XX", "YY", "ZZ", "Z"), _su(1, 2), _su(1, 2)),
    "LTFIM": Chain(("ZZ", "X", "Z"), _su(), _su()),
}


@dataclass(frozen=True)
class Sums:
    """Generators summed over sites: all terms of one share an angle.

    Attributes:
        generators: sums by n. sizes: the n that are computed in a second.
        formula: the published dimension in words, and `dimension` by n where there is one.
    """

    generators: Callable[[int], list[SparsePauliOp]]
    sizes: range
    formula: str
    dimension: Callable[[int], int] | None = None

    def published(self, n_qubits: int) -> int | None:
        """The dimension by the formula, None where none is known."""
        return self.dimension(n_qubits) if self.dimension else None


def total(words: Iterable[str], n_qubits: int, closed: bool = False) -> SparsePauliOp:
    """The sum of the words over all places of a chain."""
    return SparsePauliOp([label for word in words for label in chain(word, n_qubits, closed)])


def all_pairs(n_qubits: int) -> SparsePauliOp:
    """The sum of Z_j Z_k over all pairs."""
    return SparsePauliOp([placed(dict.fromkeys(pair, "Z"), n_qubits) for pair in combinations(range(n_qubits), 2)])


# Sources: Larocca et al., Quantum 6, 824 (2022), for n^2; D'Alessandro and Isik, arXiv:2405.00898, for 3 n - 1; Schatzki et
# al., npj Quantum Information 10, 12 (2024), for the C(n + 3, 3) operators that commute with permutations, of which the
# generators span all but floor(n / 2) traces of blocks; Allcock et al., arXiv:2407.12587, for K_n.
SUMS = {
    "TFIM HVA, open": Sums(lambda n: [total(["ZZ"], n), total(["X"], n)], range(2, 10), "n^2", lambda n: n**2),
    "TFIM HVA, closed": Sums(
        lambda n: [total(["ZZ"], n, True), total(["X"], n)], range(3, 10), "3 n - 1", lambda n: 3 * n - 1
    ),
    "S_n-equivariant": Sums(
        lambda n: [total(["X"], n), total(["Y"], n), all_pairs(n)],
        range(2, 8),
        "C(n + 3, 3) - floor(n / 2)",
        lambda n: comb(n + 3, 3) - n // 2,
    ),
    "QAOA on K_n": Sums(lambda n: [total(["X"], n), all_pairs(n)], range(2, 8), "of order n^3"),
    "XXZ HVA, open": Sums(lambda n: [total(["XX", "YY"], n), total(["ZZ"], n)], range(2, 7), "exponential"),
    "LTFIM HVA, open": Sums(lambda n: [total(["ZZ"], n), total(["X"], n), total(["Z"], n)], range(2, 5), "exponential"),
}


def chain_family(name: str) -> Chain:
    """The chain called so."""
    return _member(CHAINS, name)


def sum_family(name: str) -> Sums:
    """The summed family called so."""
    return _member(SUMS, name)


def _member(families: dict, name: str):
    if name not in families:
        raise LabError(f"no family is called {name!r}: choose from {', '.join(families)}")
    return families[name]
