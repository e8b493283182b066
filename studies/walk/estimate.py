"""Variances of a loss and of all its derivatives from Pauli walks, exact where few strings are met, else sampled.

Two strings of a sum, P and P', meet every gate together: their product Q = P P' commutes with a rotation that both or
neither anticommute with, and is then left as it is; where just one anticommutes, so does Q, the one stays, and the average
leaves E[cos]. So Q walks one path, the same for all walks, and a cross term is the walk of P alone, in which turns that
anticommute with Q are frozen, with <P><P Q> at its end.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError, Unsupported
from qml.native.threads import spread
from studies.walk.distributions import Angles
from studies.walk.kernel import WALKS, WORDS, count, weigh
from studies.walk.means import means
from studies.walk.merging import TooMany, merged
from studies.walk.program import moments, program_of
from studies.walk.strings import PRODUCT, Strings, letter_values
from studies.walk.table import EVERYTHING, NOTHING, Clifford, Noise, Table, Turn

RARE = 4.0  # times as much as a walk that stays is one worth that turns, or more
BLOCKS = 64  # of a chunk, the unit of work and of the streams of random numbers


PAIRED_LETTERS = 1 << 22  # of pairs of strings that are looked at together


@dataclass(frozen=True)
class Estimate:
    """Variances with their standard errors.

    Attributes:
        loss, loss_error: of the expectation value. gradient, errors: (n_parameters,) of its derivatives.
        n_walks: for each string or pair, 0 where all are exact.
        weight: (n_parameters,) what a walk of a kind adds that was not seen, times n_walks: one that turns at the gate,
            where that is rare, or, where none hit, any. loss_weight: the same of the loss.
    """

    loss: float
    loss_error: float
    gradient: np.ndarray
    errors: np.ndarray
    n_walks: int
    weight: np.ndarray
    loss_weight: float


@dataclass(frozen=True)
class Walk:
    """One string, or one pair of strings, on its way through its light cone.

    Attributes:
        scale: what the walks' mean is multiplied by. frozen: (n_turns,) turns at which the string stays.
        noise: (4,) factors of each noise step. ends: (n, 4) real factors at the end; exponents: (n, 4) of i, and `phase`
            another; all zero for a single string.
    """

    table: Table
    start: np.ndarray
    scale: float
    frozen: np.ndarray
    noise: list
    ends: np.ndarray
    exponents: np.ndarray
    phase: int

    def end_factors(self, codes: np.ndarray) -> np.ndarray:
        """(S,) what strings with letter codes (n, S) end with."""
        qubits = np.arange(len(codes))[:, None]
        exponents = (self.phase + self.exponents[qubits, codes].sum(axis=0)) & 3
        return self.ends[qubits, codes].prod(axis=0) * np.array([1, 0, -1, 0])[exponents]


def walk_variances(
    table: Table, observable: SparsePauliOp, angles: Angles, seed: int, relative_error: float, most_walks: int, exact: bool
) -> Estimate:
    """The variances of the observable's expectation value and of its derivatives by every parameter.

    Args:
        relative_error: walks go on until the median over components that any walk hit is at most this.
        most_walks: but no further than this, for each string or pair.
        exact: merge walks where their strings are few.

    Raises:
        Unsupported: angles or gates whose moments do not close.
    """
    strings, coefficients = _terms(observable, table.n_qubits)
    if any(isinstance(step, Turn) and step.any_axis for step in table.steps) and angles.name != "uniform":
        raise Unsupported("random axes go with angles uniform on the circle: leave distribution='uniform'")
    total = _Total(table.n_parameters)
    sampled = []
    for walk in _walks(table, strings, coefficients, angles):
        try:
            if not exact:
                raise TooMany("not wanted")
            total.add_exact(walk, *merged(walk.table, walk.start, angles, walk.frozen, walk.noise, walk.end_factors))
        except TooMany:
            sampled.append(_Sampled(walk, angles, seed, len(sampled)))
    cone, qubits = table.light_cone(_sets(strings.codes))
    total.mean, total.slopes = means(cone, Strings(strings.codes[qubits], strings.phases), coefficients, angles)
    _sample(sampled, total, relative_error, most_walks)
    return total.estimate(sampled)


def _terms(observable: SparsePauliOp, n_qubits: int) -> tuple[Strings, np.ndarray]:
    operator = observable.simplify(atol=0, rtol=0)
    codes = (operator.paulis.x + 2 * operator.paulis.z).T
    kept = np.flatnonzero(codes.any(axis=0))  # a constant has no variance
    return Strings(codes[:, kept]), operator.coeffs.real[kept]


def _sets(codes: np.ndarray) -> np.ndarray:
    """(n,) of each qubit the letters of any of the strings and of their products, as a set of bits."""
    found = np.bitwise_or.reduce(1 << codes.astype(int), axis=1) | NOTHING
    several = np.bitwise_count(found & ~NOTHING) > 1  # two letters make the third
    return np.where(several, EVERYTHING, found)


def _walks(table: Table, strings: Strings, coefficients: np.ndarray, angles: Angles) -> Iterator[Walk]:
    """A walk for every string and for every pair whose cross term can be other than zero."""
    for k in range(len(strings)):
        cone, qubits = table.light_cone(1 << strings.codes[:, k].astype(int))
        own = strings.codes[qubits, k]
        nothing = Strings(np.zeros((len(qubits), 1)))
        yield from _paired(cone, own[:, None], nothing, np.array([coefficients[k] ** 2]), angles)
    cone, qubits = table.light_cone(_sets(strings.codes)) if len(strings) > 1 else (table, [])
    rows = max(1, PAIRED_LETTERS // (len(strings) * max(1, len(qubits))))
    for start in range(0, len(strings) - 1, rows):
        left = len(strings) - start
        first, second = (start + index for index in np.triu_indices(min(rows, left), 1, left))
        one, other = (Strings(strings.codes[np.ix_(qubits, chosen)]) for chosen in (first, second))
        scales = 2 * coefficients[first] * coefficients[second]
        yield from _paired(cone, one.codes, one.times(other), scales, angles)


def _paired(cone: Table, starts: np.ndarray, products: Strings, scales: np.ndarray, angles: Angles) -> Iterator[Walk]:
    """The walks of strings with codes `starts`, (n, J), each paired with its product with J `products`."""
    alive, frozen, letters = np.arange(len(products)), [], []
    kinds: list[np.ndarray] = []
    for step in cone.steps:
        if isinstance(step, Clifford):
            products.carry(step)
        elif isinstance(step, Noise):
            letters.append(products.codes[step.qubit].copy())
        elif step.any_axis:  # only the axis of Q's own letter leaves anything
            codes = products.codes[step.qubits[0]]
            scales = np.where(codes > 0, scales / 3, scales)
            frozen.append(np.zeros(len(products), bool))
            kinds.append(codes.copy())
        else:
            met = products.anticommute(step)
            scales = np.where(met, scales * moments(step, angles).cos, scales)
            frozen.append(met)
            kinds.append(np.zeros(len(products), np.uint8))
        if not scales.all():
            kept = scales != 0
            alive, scales, products = alive[kept], scales[kept], products.of(kept)
            frozen, letters, kinds = ([row[kept] for row in rows] for rows in (frozen, letters, kinds))
    for k, j in enumerate(alive):
        own_axes = [int(row[k]) for row in kinds]
        yield _walk(
            _with_axes(cone, own_axes), starts[:, j], scales[k], np.array([row[k] for row in frozen], bool),
            [int(row[k]) for row in letters], products.of(np.array([k])),
        )  # fmt: skip


def _with_axes(table: Table, axes: list[int]) -> Table:
    """Turns about random axes have these, where other than 0."""
    if not any(axes):
        return table
    left = iter(axes)
    steps = []
    for step in table.steps:
        if isinstance(step, Turn) and (axis := next(left)):
            step = replace(step, letters=((axis & 1, axis >> 1),), any_axis=False)
        steps.append(step)
    return replace(table, steps=tuple(steps))


def _walk(table: Table, start: np.ndarray, scale: float, frozen: np.ndarray, letters: list, product: Strings) -> Walk:
    values = letter_values(table.bloch)
    codes = product.codes[:, 0]
    partner = np.arange(4)[None, :] ^ codes[:, None]
    ends = values * values[np.arange(len(values))[:, None], partner]
    noises = [step for step in table.steps if isinstance(step, Noise)]
    noise = []
    for step, letter in zip(noises, letters):
        qx, qy, qz = step.shrink
        single = np.array([1.0, qx, qz, qy])
        noise.append(single * single[np.arange(4) ^ letter])
    return Walk(table, start, float(scale), frozen, noise, ends, PRODUCT[:, codes].T, int(product.phases[0]))


class _Sampled:
    """A walk's running sums over samples."""

    def __init__(self, walk: Walk, angles: Angles, seed: int, number: int):
        self.walk, self._seed, self._number, self.n_walks = walk, seed, number, 0
        self.program = program_of(walk.table, angles, walk.frozen, walk.ends, walk.noise)
        self._start = np.array([code >> bit & 1 for code in walk.start for bit in (0, 1)], np.uint8)
        self._is_twisted = bool(walk.exponents.any() or walk.phase)
        n_turns = len(self.program.chances)
        self.sums, self.squares, self.turns = np.zeros(1 + n_turns), np.zeros(1 + n_turns), np.zeros(n_turns)

    def chunk(self, index: int) -> Callable[[], tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """One unit of work, which draws from a stream of its own."""
        program = self.program

        def work() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            key = np.random.SeedSequence(self._seed, spawn_key=(self._number, index))
            seeds = key.generate_state(4 * WORDS, np.uint64).reshape(4, WORDS)
            sums, squares, took = np.zeros(len(self.sums)), np.zeros(len(self.sums)), np.zeros(len(self.turns))
            shared = program.steps, program.rows, program.chances
            if program.is_weighted or self._is_twisted:
                weigh(
                    *shared, program.tilts, program.weights, program.shrink, program.n_rows, program.ends,
                    self.walk.exponents, self.walk.phase, self._start, seeds, BLOCKS, sums, squares, took,
                )  # fmt: skip
                return sums, squares, took
            ended, met = np.zeros(1), np.zeros(len(took))
            count(*shared, program.n_rows, program.ends, self._start, seeds, BLOCKS, ended, met, took)
            stay, turn = program.weights.T
            sums[0] = squares[0] = ended[0]
            sums[1:] = stay * (met - took) + turn * took
            squares[1:] = stay**2 * (met - took) + turn**2 * took
            return sums, squares, took

        return work

    def add(self, found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> None:
        """The chunks' sums, in their order."""
        for sums, squares, turns in found:
            self.sums += sums
            self.squares += squares
            self.turns += turns
            self.n_walks += BLOCKS * WALKS

    def result(self) -> tuple[np.ndarray, np.ndarray]:
        """Means and their squared standard errors, times the walk's scale."""
        mean = self.sums / self.n_walks
        spread_ = np.maximum(self.squares / self.n_walks - mean**2, 0) / self.n_walks
        return self.walk.scale * mean, self.walk.scale**2 * spread_

    def unseen(self) -> np.ndarray:
        """(n_turns,): what one walk adds to a derivative, of kinds of which there was none: it took a rare turn, or any."""
        program = self.program
        staying, turning = (program.weights * program.tilts).T
        is_hit = self.squares[1:] > 0
        # Of frequent turns that no walk took, none counts; and what a walk is worth under noise is told by those that do.
        is_rare = (program.chances > 0) & (program.weights[:, 1] > RARE * program.weights[:, 0])
        worth = self.squares[0] / self.sums[0] if self.sums[0] > 0 else 1.0
        rare = np.where(is_rare & (self.turns == 0), worth * turning, 0.0)
        return abs(self.walk.scale) * np.where(is_hit, rare, np.maximum(staying, turning))


class _Total:
    """Variances added up over walks.

    Attributes:
        mean, slopes: of the expectation value and of its derivatives, whose squares are taken away.
    """

    def __init__(self, n_parameters: int):
        self.loss, self.gradient = 0.0, np.zeros(n_parameters)
        self.mean, self.slopes = 0.0, np.zeros(n_parameters)

    def add_exact(self, walk: Walk, value: float, squares: np.ndarray) -> None:
        """What merging found."""
        self.loss += walk.scale * value
        self.gradient += walk.scale * squares

    def estimate(self, sampled: list[_Sampled]) -> Estimate:
        """Everything together."""
        n_walks = max((one.n_walks for one in sampled), default=0)
        loss, loss_error, loss_weight = self.loss - self.mean**2, 0.0, 0.0
        gradient, errors = self.gradient - self.slopes**2, np.zeros_like(self.slopes)
        weight = np.zeros_like(self.slopes)
        for one in sampled:
            found, squared = one.result()
            loss, loss_error = loss + found[0], loss_error + squared[0]
            loss_weight += abs(one.walk.scale)
            np.add.at(gradient, one.program.parameters, found[1:])
            np.add.at(errors, one.program.parameters, squared[1:])
            np.add.at(weight, one.program.parameters, one.unseen())
        return Estimate(loss, loss_error**0.5, gradient, np.sqrt(errors), n_walks, weight, loss_weight)


def _sample(sampled: list[_Sampled], total: _Total, relative_error: float, most_walks: int) -> None:
    """Walks until the components' median relative error is small enough."""
    if not sampled:
        return
    done, goal = 0, 4
    most = max(1, -(-most_walks // (BLOCKS * WALKS)))
    while True:
        goal = min(goal, most)
        _chunks(sampled, range(done, goal))
        done = goal
        error = _median_error(total.estimate(sampled), any(one.sums.any() for one in sampled))
        if done == most or error <= relative_error:
            return
        needed = done * (error / relative_error) ** 2 if np.isfinite(error) else 4 * done
        goal = int(min(max(needed * 1.05, done + 1), 8 * done))


def _chunks(sampled: list[_Sampled], indices: range) -> None:
    """The chunks of every walk, on the machine's threads, added in their order."""
    results: dict[tuple[int, int], tuple] = {}

    def work(number: int, index: int) -> None:
        results[number, index] = sampled[number].chunk(index)()

    spread(work, [(number, index) for number in range(len(sampled)) for index in indices])
    for number, one in enumerate(sampled):
        one.add([results[number, index] for index in indices])


def _median_error(found: Estimate, has_hit: bool) -> float:
    """Of the components that walks hit, relative; infinite where none did."""
    hit = found.errors > 0
    if not hit.any():
        return 0.0 if has_hit and not found.loss_error else np.inf
    size = np.maximum(np.abs(found.gradient[hit]), np.finfo(float).tiny)
    return float(np.median(found.errors[hit] / size))


def check(relative_error: float, most_walks: int) -> None:
    """Raise `LabError` unless both can be reached for."""
    if not 0 < relative_error < 1:
        raise LabError(f"relative_error must lie between 0 and 1, got {relative_error!r}: 0.01 is one per cent")
    if isinstance(most_walks, bool) or not isinstance(most_walks, int) or most_walks < 1:
        raise LabError(f"most_walks must be a whole number of at least 1, got {most_walks!r}")
