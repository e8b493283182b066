"""Many Pauli strings with their phases at once, as they are carried back through a circuit one step at a time."""

import numpy as np

from studies.walk.table import Clifford, Turn

# Of letters with codes x + 2 z, the exponent of i in their product: X Y = i Z and so on.
PRODUCT = np.array([[0, 0, 0, 0], [0, 0, 3, 1], [0, 1, 0, 3], [0, 3, 1, 0]])


class Strings:
    """J strings i^phase times letters.

    Attributes:
        codes: (n, J) letters, x + 2 z of each qubit. phases: (J,) exponents of i.
    """

    def __init__(self, codes: np.ndarray, phases: np.ndarray | None = None):
        self.codes = np.asarray(codes, np.uint8)
        self.phases = np.zeros(self.codes.shape[1], np.int64) if phases is None else phases

    def __len__(self) -> int:
        return self.codes.shape[1]

    def times(self, others: "Strings") -> "Strings":
        """The products, string by string."""
        phases = self.phases + others.phases + PRODUCT[self.codes, others.codes].sum(axis=0)
        return Strings(self.codes ^ others.codes, phases & 3)

    def of(self, chosen: np.ndarray) -> "Strings":
        """Those chosen by an index or a mask."""
        return Strings(self.codes[:, chosen], self.phases[chosen])

    def joined(self, others: "Strings") -> "Strings":
        """These, then the others."""
        return Strings(np.hstack([self.codes, others.codes]), np.concatenate([self.phases, others.phases]))

    def anticommute(self, turn: Turn) -> np.ndarray:
        """(J,): which anticommute with the turn's string."""
        odd = np.zeros(len(self), bool)
        for qubit, (x, z) in zip(turn.qubits, turn.letters):
            odd ^= (PRODUCT[x + 2 * z, self.codes[qubit]] & 1).astype(bool)
        return odd

    def turned(self, turn: Turn) -> "Strings":
        """i G P of each string P, for the turn's string G; of strings that anticommute with it."""
        codes, phases = self.codes.copy(), self.phases + 1
        for qubit, (x, z) in zip(turn.qubits, turn.letters):
            phases = phases + PRODUCT[x + 2 * z, codes[qubit]]
            codes[qubit] ^= x + 2 * z
        return Strings(codes, phases & 3)

    def carry(self, step: Clifford) -> None:
        """Carries every string through a Clifford gate."""
        packed = np.zeros(len(self), np.int64)
        for k, qubit in enumerate(step.qubits):
            packed |= self.codes[qubit].astype(np.int64) << 2 * k
        image = step.image[packed]
        self.phases = (self.phases + 1 - step.sign[packed].astype(np.int64)) & 3
        for k, qubit in enumerate(step.qubits):
            self.codes[qubit] = image >> 2 * k & 3

    def expectations(self, bloch: np.ndarray) -> np.ndarray:
        """(J,) real expectation values of Hermitian strings in the product state."""
        values = letter_values(bloch)
        product = values[np.arange(len(values))[:, None], self.codes].prod(axis=0)
        return product * np.array([1, 0, -1, 0])[self.phases]


def letter_values(bloch: np.ndarray) -> np.ndarray:
    """(n, 4) expectation values of I, X, Z and Y, by code, from Bloch vectors (n, 3)."""
    return np.column_stack([np.ones(len(bloch)), bloch[:, [0, 2, 1]]])
