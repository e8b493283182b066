"""A table as flat arrays for the kernel: rows of bits, one for each of the x and z bits of each qubit.

Row 2 q holds the x bits of qubit q in 64 walks, row 2 q + 1 the z bits.
"""

from dataclasses import dataclass

import numpy as np

from studies.walk.distributions import Angles
from studies.walk.table import Clifford, Noise, Table, Turn

TURN, ANY_AXIS, ADD, SHRINK = range(4)
DIGITS = 32  # binary digits of a probability
FEWEST_TURNS = 0.05  # expected of a walk that meets every turn; where there are fewer, more are made than happen:
MADE_TURNS = 0.25  # so many


@dataclass(frozen=True)
class Moments:
    """E[cos^2], E[sin^2] and E[cos] of a turn's angle."""

    cos2: float
    sin2: float
    cos: float


def moments(turn: Turn, angles: Angles) -> Moments:
    """Of one turn.

    Raises:
        Unsupported: the angle's law is not symmetric about 0.
    """
    single, double = angles.cos(turn.factor), angles.cos(2 * turn.factor)
    if turn.is_shifted and (single or double):
        from circuits.errors import Unsupported
        from studies.walk.table import INSTEAD

        raise Unsupported(f"an angle with a constant added is not symmetric about 0 under {angles.name!r}: {INSTEAD}")
    return Moments((1 + double) / 2, (1 - double) / 2, single)


@dataclass(frozen=True)
class WalkProgram:
    """What the kernel interprets.

    Attributes:
        steps: (n, 5): kind; of a turn where in `rows` those start that tell whether a string anticommutes, where those
            that it flips, where they end, and its number; of an addition the two rows; of noise a row and its number.
        rows: the rows that steps name.
        chances: (n_turns,) of turning, in units of 2^-DIGITS; where angles are so narrow that hardly a walk would turn, more
            than it is.
        tilts: (n_turns, 2): what a walk that anticommutes is then worth, staying and turning; 1 where the chance is true.
        weights: (n_turns, 2): what a derivative's walk weighs, staying and turning; 0 for a turn that never happens.
        shrink: (n_shrinks, 4): factor of a walk's weight by letter code x + 2 z.
        ends: (n_qubits, 4): and that of the product state at the end.
        parameters: (n_turns,) of each turn its parameter.
        is_weighted: a walk weighs other than 0 or 1 at the end, or turns are tilted.
    """

    n_rows: int
    steps: np.ndarray
    rows: np.ndarray
    chances: np.ndarray
    tilts: np.ndarray
    weights: np.ndarray
    shrink: np.ndarray
    ends: np.ndarray
    parameters: np.ndarray
    is_weighted: bool


def program_of(table: Table, angles: Angles, frozen: np.ndarray, ends: np.ndarray, noise: list) -> WalkProgram:
    """The flat form of a table.

    Args:
        frozen: (n_turns,) turns at which strings stay, in the table's order.
        ends: (n_qubits, 4) factor of a walk's weight by qubit and letter code x + 2 z. noise: (4,) of each noise step.
    """
    steps, rows, chances, weights, parameters, tilts = [], [], [], [], [], []
    n_noises, least = 0, _least_chance(table, angles, frozen)
    for step in table.steps:
        if isinstance(step, Clifford):
            for to, source in additions(step):
                steps.append((ADD, to, source, 0, 0))
        elif isinstance(step, Noise):
            steps.append((SHRINK, 2 * step.qubit, 0, 0, n_noises))
            n_noises += 1
        else:
            is_frozen = frozen[len(chances)]
            moved = moments(step, angles)
            tests, flips = _rows_of(step)
            start = len(rows)
            rows += tests + flips
            kind = ANY_AXIS if step.any_axis else TURN
            steps.append((kind, start, start + len(tests), len(rows), len(chances)))
            chance = 0.0 if is_frozen or not moved.sin2 else max(moved.sin2, least)
            chances.append(round(chance * 2**DIGITS))
            is_tilted = chance > moved.sin2 > 0
            tilts.append((moved.cos2 / (1 - chance), moved.sin2 / chance) if is_tilted else (1.0, 1.0))
            weights.append((0.0, 0.0) if is_frozen else _weights(moved, step.factor))
            parameters.append(step.parameter)
    weights, tilts = (np.array(pairs, float).reshape(-1, 2) for pairs in (weights, tilts))
    is_weighted = bool(noise) or not np.isin(ends, (0.0, 1.0)).all() or bool((tilts != 1.0).any())
    return WalkProgram(
        2 * table.n_qubits, np.array(steps, np.int64).reshape(-1, 5), np.array(rows, np.int64), np.array(chances, np.int64),
        tilts, weights, np.array(noise, float).reshape(-1, 4), ends, np.array(parameters, np.int64),
        is_weighted,
    )  # fmt: skip


def _least_chance(table: Table, angles: Angles, frozen: np.ndarray) -> float:
    """Of turning: what gives `MADE_TURNS` if walks would turn less than `FEWEST_TURNS` times, else none."""
    turns = [step for step in table.steps if isinstance(step, Turn)]
    free = [moments(step, angles).sin2 for step, is_frozen in zip(turns, frozen) if not is_frozen]
    return MADE_TURNS / len(free) if 0 < sum(free) < FEWEST_TURNS else 0.0


def _weights(moved: Moments, factor: float) -> tuple[float, float]:
    """A derivative swaps cosine and sine at its own gate, so a walk counts by their ratio."""
    stay = moved.sin2 / moved.cos2 if moved.cos2 else 0.0
    turned = moved.cos2 / moved.sin2 if moved.sin2 else 0.0
    return factor**2 * stay, factor**2 * turned


def _rows_of(turn: Turn) -> tuple[list[int], list[int]]:
    """Rows whose parity says that a string anticommutes, and rows that a turn flips."""
    if turn.any_axis:
        row = 2 * turn.qubits[0]
        return [row], [row + 1]
    tests, flips = [], []
    for qubit, (x, z) in zip(turn.qubits, turn.letters):
        tests += [2 * qubit + 1] * x + [2 * qubit] * z
        flips += [2 * qubit] * x + [2 * qubit + 1] * z
    return tests, flips


def additions(step: Clifford) -> list[tuple[int, int]]:
    """The gate's linear map of bits as additions (to, source) of rows, in order.

    Gauss elimination of the matrix to the identity; every row operation undone, in reverse, builds the map.
    """
    size = 2 * len(step.qubits)
    # Column j: the image of the string with bit j alone. Row i of the matrix says what bit i of the image is made of.
    matrix = np.array([[step.image[1 << j] >> i & 1 for j in range(size)] for i in range(size)], np.uint8)
    done: list[tuple[int, int]] = []

    def add(to: int, source: int) -> None:
        matrix[to] ^= matrix[source]
        done.append((to, source))

    for column in range(size):
        if not matrix[column, column]:
            add(column, next(i for i in range(column + 1, size) if matrix[i, column]))
        for i in range(size):
            if i != column and matrix[i, column]:
                add(i, column)
    row = [2 * qubit + bit for qubit in step.qubits for bit in (0, 1)]
    return [(row[to], row[source]) for to, source in reversed(done)]
