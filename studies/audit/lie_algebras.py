"""Dimensions of dynamical Lie algebras: PennyLane's demo on the Ising chain, and the curves of a classification's figure.

Generators are Pauli strings, so a basis of the algebra is a set of Pauli strings that is closed under commutators.
"""

from studies.audit.base import STATED, Claim, Recomputed

DEMO = "PennyLaneAI/qml, demonstrations/tutorial_liealgebra.py, commit 016e1bc"
DEMO_NOW = "PennyLaneAI/qml, demonstrations_v2/tutorial_liealgebra/demo.py, commit 02ed4ea"
SCRIPT = "therooler/lie_classification, scripts/plot_dimensions_paper.py, commit f39ea90"
ISING = ("XX", "Z")


def so(n: int) -> int:
    """The dimension of so(n)."""
    return n * (n - 1) // 2


def sp(n: int) -> int:
    """The dimension of sp(n) as both sources count it, n (n + 1) / 2."""
    return n * (n + 1) // 2


def su(n: int) -> int:
    """The dimension of su(n)."""
    return n**2 - 1


SWAPPED, PARITY = "the formulas of a3 and a5 are swapped", "its test for odd n is inverted"
# By key: generators placed on every pair or site of an open chain, n, whether the chain is closed, and what went wrong.
CHAINS = {
    "ising-2": (ISING, 2, False, ""),
    "ising-old": (ISING, 3, False, "so(2n - 1) in place of so(2n)"),
    "ising-new": (ISING, 3, False, ""),
    "ising-closed": (ISING, 3, True, ""),
    "a3": (("XX", "YZ"), 4, False, SWAPPED),
    "a5": (("XY", "YZ"), 4, False, SWAPPED),
    "a6": (("XX", "YZ", "ZY"), 4, False, PARITY),
    "a8": (("XX", "XZ"), 4, False, ""),
    "a14": (("XX", "YY", "XY"), 4, False, ""),
}
CLAIMS = (
    Claim("ising-2", "PennyLane", "dim, Ising, n = 2, the demo's closure", DEMO, STATED, 6),
    Claim("ising-old", "PennyLane", "dim, open Ising, n = 3, so(2n - 1)", DEMO, STATED, so(5), mended=DEMO_NOW),
    Claim("ising-new", "PennyLane", "dim, open Ising, n = 3, so(2n)", DEMO_NOW, STATED, so(6)),
    Claim("ising-closed", "PennyLane", "dim, closed Ising, n = 3, 2 so(2n)", DEMO, STATED, 2 * so(6)),
    Claim("a3", "lie_classification", "dim a3, n = 4", SCRIPT, STATED, 2 * su(4)),
    Claim("a5", "lie_classification", "dim a5, n = 4", SCRIPT, STATED, 4 * sp(4)),
    Claim("a6", "lie_classification", "dim a6, n = 4", SCRIPT, STATED, su(8)),
    Claim("a8", "lie_classification", "dim a8, n = 4", SCRIPT, STATED, so(7)),
    Claim("a14", "lie_classification", "dim a14, n = 4", SCRIPT, STATED, so(8)),
)


def recompute(claim: Claim, samples: int, seed: int) -> Recomputed:
    """The size of the closed set of strings, beside PennyLane's `lie_closure`; nothing is sampled."""
    letters, n, is_closed, why = CHAINS[claim.key]
    generators = chain(letters, n, is_closed)
    other = float(_by_pennylane(generators))
    return Recomputed(float(len(closure(generators))), other, other, other, why=why or "closed under commutators")


def chain(letters: tuple[str, ...], n_qubits: int, is_closed: bool) -> list[str]:
    """Pauli labels of each generator at every place of a chain."""
    labels = []
    for word in letters:
        last = n_qubits if is_closed or len(word) == 1 else n_qubits - 1
        for place in range(last):
            label = ["I"] * n_qubits
            for step, letter in enumerate(word):
                label[(place + step) % n_qubits] = letter
            labels.append("".join(label))
    return labels


def closure(labels: list[str]) -> set[tuple[int, int]]:
    """The strings (x, z), as bit masks, of all nested commutators; those with the generators alone reach them all."""
    generators = [_masks(label) for label in labels]
    found, queue = set(generators), list(generators)
    while queue:
        x, z = queue.pop()
        for gx, gz in generators:
            if ((x & gz).bit_count() + (z & gx).bit_count()) % 2 and (x ^ gx, z ^ gz) not in found:
                found.add((x ^ gx, z ^ gz))
                queue.append((x ^ gx, z ^ gz))
    return found


def _masks(label: str) -> tuple[int, int]:
    return tuple(sum((letter in kinds) << place for place, letter in enumerate(label)) for kinds in ("XY", "YZ"))


def _by_pennylane(labels: list[str]) -> int:
    import pennylane as qp

    words = [qp.pauli.PauliWord({w: letter for w, letter in enumerate(label) if letter != "I"}) for label in labels]
    return len(qp.lie_closure([qp.pauli.PauliSentence({word: 1.0}) for word in words], pauli=True))
