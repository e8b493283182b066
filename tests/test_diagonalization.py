"""Commuting strings become products of Z, signs included."""

import numpy as np
import pytest
from qiskit.quantum_info import PauliList, SparsePauliOp, random_clifford

from circuits.errors import LabError
from circuits.program import Program
from qml.backends.base import resolve
from qml.diagonalization import diagonalised


def commuting(n_qubits: int, count: int, seed: int) -> PauliList:
    """Strings of Z, turned by a random Clifford operator; signs are kept."""
    labels = ["".join(row) for row in np.random.default_rng(seed).choice(["I", "Z"], (count, n_qubits))]
    return PauliList(labels).evolve(random_clifford(n_qubits, seed), frame="s")


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("n_qubits", [1, 2, 4, 6])
def test_every_string_is_a_parity_of_the_turned_state(n_qubits, seed):
    strings = commuting(n_qubits, 2 * n_qubits, seed)
    rng = np.random.default_rng(seed)
    state, found = _state(rng, n_qubits), diagonalised(strings)
    turned = state
    for gate in found.gates:
        turned = _applied(gate, turned, n_qubits)
    values = found.values(np.arange(2**n_qubits)) @ np.abs(turned) ** 2
    wanted = [(state.conj() @ SparsePauliOp(string).to_matrix() @ state).real for string in strings]
    assert np.allclose(values, wanted, atol=1e-12)


def _state(rng, n_qubits: int) -> np.ndarray:
    state = rng.normal(size=2**n_qubits) + 1j * rng.normal(size=2**n_qubits)
    return state / np.linalg.norm(state)


def _applied(gate, state: np.ndarray, n_qubits: int) -> np.ndarray:
    """By definition: row by row of the full matrix on its qubits."""
    qubits, matrix = (*gate.qubits, *gate.controls), gate.full_matrix()
    out = np.zeros_like(state)
    for index in range(2**n_qubits):
        column = sum((index >> q & 1) << k for k, q in enumerate(qubits))
        rest = index & ~sum(1 << q for q in qubits)
        for row in range(len(matrix)):
            out[rest | sum((row >> k & 1) << q for k, q in enumerate(qubits))] += matrix[row, column] * state[index]
    return out


def test_the_gates_run_on_an_engine():
    found = diagonalised(PauliList(["XX", "ZZ", "-YY"]))
    compiled = resolve("native").compile(Program(2, tuple(found.gates)), [])
    outcomes = compiled.sample(np.zeros((1, 0)), np.zeros(0), 50, np.random.SeedSequence(0))
    values = found.values(outcomes)[:, 0]
    assert (values[1] == 1).all() and (values[0] == values[2]).all()  # <ZZ> = 1 in |00>, and -YY = XX ZZ


def test_strings_that_do_not_commute_are_refused_by_name():
    with pytest.raises(LabError, match="XI and ZI"):
        diagonalised(PauliList(["XI", "ZI"]))
