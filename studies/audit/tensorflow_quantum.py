"""TensorFlow Quantum's tutorial on barren plateaus: a curve called variance that is a standard deviation.

Its `grad_var = tf.math.reduce_std(grads, axis=0)` goes into a plot "Gradient Variance in QNNs" of McClean's circuit.
Its depth of 50 is enough for 4 qubits only: at 12 the exact variance is 30 times a 2-design's, so the curve flattens.
"""

import math

import numpy as np

from studies.audit.base import REPLAYED, Claim, Recomputed
from studies.exact import random_pauli_variance
from studies.statistics import normal_quantile, variance

SEED, CIRCUITS, DEPTH, SIZES = 1234, 200, 50, (4, 6, 8, 10, 12)
SOURCE = "tensorflow/quantum, docs/tutorials/barren_plateaus.ipynb, commit 01df334"
CLAIMS = (Claim("tfq-slope", "TensorFlow Quantum", "slope of variance per qubit", SOURCE, REPLAYED, samples=CIRCUITS),)
CHUNK = 50


def recompute(claim: Claim, samples: int, seed: int) -> Recomputed:
    """The slope of the exact variances at the tutorial's depth, and that of its plotted curve."""
    ours = [variance(_gradients(*_drawn(n, samples, seed))) for n in SIZES]
    exact = _slope([random_pauli_variance(n, DEPTH) for n in SIZES])
    slope = _slope([float(found.value) for found in ours])
    centred = np.array(SIZES) - np.mean(SIZES)
    errors = np.array([float(found.log_error) for found in ours])
    error = float(np.sqrt(np.square(centred / np.square(centred).sum() * errors).sum()))
    half, spread = normal_quantile(0.95) * error, error * math.sqrt(samples / CIRCUITS)
    plotted = _slope([float(found.std()) for found in replay()])
    why = "a standard deviation called variance: half the slope"
    return Recomputed(exact, slope, slope - half, slope + half, spread, plotted, None, exact / 2, spread / 2, why)


def _slope(values: list[float]) -> float:
    return float(np.polyfit(SIZES, np.log(values), 1)[0])  # no weights: the line is bent, and weights would move the slope


def replay() -> list[np.ndarray]:
    """The gradients behind the plot, for each size, from the notebook's seed in the notebook's order of draws."""
    generator = np.random.RandomState(SEED)
    _circuit(generator, 3, 2)  # one that the notebook only draws
    found = []
    for n in SIZES:
        axes, angles = (np.array(values) for values in zip(*(_circuit(generator, n, DEPTH) for _ in range(CIRCUITS))))
        angles[:, 0] = generator.uniform(0, 2 * np.pi, CIRCUITS).astype(np.float32)
        found.append(_gradients(n, axes, angles))
    return found


def _circuit(generator: np.random.RandomState, n_qubits: int, depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Axes and angles of one circuit; the first angle is a symbol there, for which nothing is drawn."""
    draws = generator.uniform(size=2 * n_qubits * depth - 1)
    kinds = np.concatenate([draws[:1], draws[1::2]])
    angles = np.concatenate([[0.0], 2 * np.pi * draws[2::2]])
    return (kinds > 1 / 3).astype(int) + (kinds > 2 / 3), angles


def _drawn(n_qubits: int, samples: int, seed: int) -> tuple[int, np.ndarray, np.ndarray]:
    generator = np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(n_qubits,)))
    shape = samples, n_qubits * DEPTH
    return n_qubits, generator.integers(0, 3, shape), generator.uniform(0, 2 * math.pi, shape)


def _gradients(n_qubits: int, axes: np.ndarray, angles: np.ndarray) -> np.ndarray:
    """(S,) derivatives of <Z0 Z1> by the first angle: all circuits have RX, RY and RZ at every site, two by angle zero."""
    compiled, places = _compiled(n_qubits, axes.shape[1] // n_qubits)
    found = []
    for first in range(0, len(axes), CHUNK):
        here = slice(first, first + CHUNK)
        sites = np.zeros((len(axes[here]), axes.shape[1], 3))
        np.put_along_axis(sites, axes[here][..., None], angles[here][..., None], axis=-1)
        weights = np.ascontiguousarray(sites.reshape(len(sites), -1)[:, places])
        _, slopes = compiled.vjp(np.empty((len(sites), 0)), weights, np.ones((len(sites), 1)))
        found.append(slopes[np.arange(len(sites)), np.argsort(places)[axes[here][:, 0]]])
    return np.concatenate(found)


def _compiled(n_qubits: int, depth: int) -> tuple:
    """The circuit on the native backend, and where each of its angles belongs: 3 site + axis."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import ParameterVector
    from qiskit.quantum_info import SparsePauliOp

    from circuits.lowering import lower
    from qml.backends.base import resolve

    circuit, angles = QuantumCircuit(n_qubits), iter(ParameterVector("w", 3 * n_qubits * depth))
    circuit.ry(math.pi / 4, range(n_qubits))
    for _ in range(depth):
        for qubit in range(n_qubits):
            circuit.rx(next(angles), qubit)
            circuit.ry(next(angles), qubit)
            circuit.rz(next(angles), qubit)
        for qubit in range(n_qubits - 1):
            circuit.cz(qubit, qubit + 1)
    program = lower(circuit)
    observable = SparsePauliOp.from_sparse_list([("ZZ", [0, 1], 1.0)], n_qubits)
    return resolve("native").compile(program, [observable]), [slot.index for slot in program.slots]
