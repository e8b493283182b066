"""All walks at once, exactly: walks that reach the same string go on as one."""

import numpy as np

from circuits.errors import LabError
from studies.walk.distributions import Angles
from studies.walk.program import additions, moments
from studies.walk.table import Clifford, Noise, Table

MOST_QUBITS = 31  # of a light cone: both masks of a string in one machine word
MOST_STRINGS = 1 << 18
MOST_IN_ALL = 1 << 25  # strings at all turns together, which the way back needs


class TooMany(LabError):
    """More strings than merging is worth; sampling goes on from here."""


def merged(table: Table, start: np.ndarray, angles: Angles, frozen, letters: list, ends) -> tuple[float, np.ndarray]:
    """The mean square of the value and of each derivative, or a cross term of both.

    Args:
        start: (n,) letter codes of the first string.
        frozen: (n_turns,) turns at which strings stay. letters: (4,) factors of each noise step. ends: a function from
            letter codes (n, S) to factors (S,).

    Raises:
        TooMany: the strings are more than fit.
    """
    if table.n_qubits > MOST_QUBITS:
        raise TooMany(f"a light cone of {table.n_qubits} qubits")
    forward = _Forward(table, start, angles, frozen, letters)
    return forward.back(ends(_codes(forward.keys, table.n_qubits)))


def _codes(keys: np.ndarray, n_qubits: int) -> np.ndarray:
    return np.array([keys >> 2 * q & 3 for q in range(n_qubits)], np.uint8)


class _Forward:
    """The strings at every step with their probabilities, and where each goes."""

    def __init__(self, table: Table, start: np.ndarray, angles: Angles, frozen, letters: list):
        self.n_parameters = table.n_parameters
        self.keys = np.array([sum(int(code) << 2 * q for q, code in enumerate(start))], np.int64)
        self.chances, self.trail, self.n_strings = np.ones(1), [], 1
        turns, noises = iter(frozen), iter(letters)
        for step in table.steps:
            if isinstance(step, Clifford):
                for to, source in additions(step):
                    self.keys ^= (self.keys >> source & 1) << to
            elif isinstance(step, Noise):
                factors = np.asarray(next(noises))[self.keys >> 2 * step.qubit & 3]
                self.trail.append((None, factors))
                self.chances = self.chances * factors
            elif not next(turns):
                self._turn(step, angles)

    def _turn(self, step, angles: Angles) -> None:
        moved = moments(step, angles)
        axes = [[letter] for letter in ((1, 0), (1, 1), (0, 1))] if step.any_axis else [step.letters]
        count, branches = len(self.keys), []
        found = [self.keys]
        for letters in axes:
            met = np.zeros(count, np.int64)
            mask = 0
            for qubit, (x, z) in zip(step.qubits, letters):
                met ^= (self.keys >> 2 * qubit & z) ^ (self.keys >> 2 * qubit + 1 & x)
                mask |= (x + 2 * z) << 2 * qubit
            chosen = np.flatnonzero(met)
            branches.append(chosen)
            found.append(self.keys[chosen] ^ mask)
        if not any(map(len, branches)):
            return
        keys, places = np.unique(np.concatenate(found), return_inverse=True)
        self.n_strings += count
        if len(keys) > MOST_STRINGS or self.n_strings > MOST_IN_ALL:
            raise TooMany(f"{len(keys)} strings")
        splits = np.cumsum([count, *map(len, branches)])[:-1]
        stay, *turned = np.split(places, splits)
        share = 1 / len(axes)
        self.trail.append((step, (self.chances, stay, branches, turned, moved, share)))
        leaving = np.ones(count)
        chances = np.zeros(len(keys))
        for chosen, to in zip(branches, turned):
            leaving[chosen] -= share * moved.sin2
            np.add.at(chances, to, share * moved.sin2 * self.chances[chosen])
        np.add.at(chances, stay, leaving * self.chances)
        self.keys, self.chances = keys, chances

    def back(self, ends: np.ndarray) -> tuple[float, np.ndarray]:
        """The mean square of the value and of each derivative, from the factors of the last strings."""
        value, squares = float(self.chances @ ends), np.zeros(self.n_parameters)
        for step, kept in reversed(self.trail):
            if step is None:
                ends = ends * kept
                continue
            chances, stay, branches, turned, moved, share = kept
            before = ends[stay]
            for chosen, to in zip(branches, turned):
                staying, turning = ends[stay[chosen]], ends[to]
                slope = moved.sin2 * staying + moved.cos2 * turning
                squares[step.parameter] += step.factor**2 * share * float(chances[chosen] @ slope)
                before[chosen] += share * moved.sin2 * (turning - staying)
            ends = before
        return value, squares
