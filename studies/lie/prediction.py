"""The variance of the loss Tr(U rho U^dagger O) when the deep circuit U is a 2-design on the group of its algebra.

Var = sum over the simple ideals g_j of P_j(rho) P_j(O) / dim g_j, where P_j(H) is the sum of |Tr(B H)|^2 over an
orthonormal basis of g_j. It holds where rho or O lies in the algebra (up to a multiple of the identity, which moves the
loss and not its variance); the centre of the algebra acts on the mean alone.

Source: Ragone, Bakalov, Sauvage, Kemper, Ortiz Marrero, Larocca, Cerezo, Nat. Commun. 15, 7172 (2024), arXiv:2309.09342.
"""

from math import comb

import numpy as np
from qiskit.quantum_info import SparsePauliOp

from circuits.errors import LabError
from studies.lie.ideals import Algebra, Component
from studies.lie.strings import Strings


def loss_variance(algebra: Algebra, observable: SparsePauliOp, bloch: np.ndarray | None = None) -> float:
    """The variance of the observable's expectation value in a deep circuit.

    Args:
        algebra: of the circuit's generators.
        observable: Hermitian.
        bloch: (n, 3) Bloch vectors of the qubits' initial states; None means |0...0>.

    Raises:
        LabError: neither the observable nor the state lies in the algebra, or one of another number of qubits.
    """
    n = algebra.strings.n_qubits
    strings, coefficients = _terms(observable, n)
    bloch = _checked(bloch, n)
    inside = (algebra.strings.find(strings) >= 0).all()
    if not inside and not _holds_state(algebra.strings, bloch):
        raise LabError(
            "the law needs the observable or the state in the algebra (up to the identity), but the string "
            f"{strings[algebra.strings.find(strings) < 0].labels()[0]} of the observable is not, and the state is not: "
            "take an observable from the algebra, or sample"
        )
    total = 0.0
    for component in algebra.components:
        places = component.strings.find(strings)
        values = np.zeros(len(component.strings))
        values[places[places >= 0]] = 2.0**n * coefficients[places >= 0]
        of_observable = purities(component, values)
        of_state = purities(component, expectations(component.strings, bloch))
        total += float(of_state @ of_observable) / component.dimension
    return total


def purities(component: Component, traces: np.ndarray) -> np.ndarray:
    """P_g(H) of each simple ideal of the component.

    Args:
        traces: (J,) Tr(S H) of the component's strings S.
    """
    group, size = component.group, component.n_ideals
    leaders = component.strings[::size]
    signs = np.stack([_sign(group[number : number + 1], leaders) for number in range(size)], axis=1)
    numbers = np.arange(size)
    characters = 1.0 - 2.0 * (np.bitwise_count(numbers[:, None] & numbers) & 1)
    # An ideal's basis is its projector, the group's strings averaged with a character, times one string of each orbit.
    sums = (traces.reshape(-1, size) * signs * _group_signs(group)) @ characters / size
    return size / 2.0**group.n_qubits * (sums**2).sum(axis=0)


def expectations(strings: Strings, bloch: np.ndarray) -> np.ndarray:
    """(J,) expectation values of the strings in a product state with (n, 3) Bloch vectors."""
    values = np.ones(len(strings))
    for qubit, (x, y, z) in enumerate(bloch):
        codes = sum(
            (mask >> np.uint64(qubit) & np.uint64(1)) << np.uint64(k) for k, mask in enumerate((strings.x, strings.z))
        )
        values *= np.array([1.0, x, z, y])[codes.astype(np.int64)]
    return values


def zero_state(n_qubits: int) -> np.ndarray:
    """(n, 3): the Bloch vectors of |0...0>."""
    return np.tile([0.0, 0.0, 1.0], (n_qubits, 1))


def matchgate_variance(n_qubits: int, weight: int) -> float:
    """Of <Z_1 ... Z_weight> in deep circuits of {X_j X_j+1, Z_j} from |0...0>: C(n, k) / C(2n, 2k).

    The observable is in the algebra for weight 1 only. At weight n it is conserved: its mean is 1 and its variance 0,
    while the formula gives the mean square.

    Source: Diaz, Garcia-Martin, Kazi, Larocca, Cerezo, arXiv:2310.11505.
    """
    if not 1 <= weight < n_qubits:
        raise LabError(f"the weight must be from 1 to n - 1 = {n_qubits - 1}, got {weight}")
    return comb(n_qubits, weight) / comb(2 * n_qubits, 2 * weight)


def _terms(observable: SparsePauliOp, n_qubits: int) -> tuple[Strings, np.ndarray]:
    """The observable's strings without the identity, and their coefficients."""
    if observable.num_qubits != n_qubits:
        raise LabError(f"the algebra has {n_qubits} qubits, the observable has {observable.num_qubits}")
    observable = observable.simplify()
    if abs(observable.coeffs.imag).max() > 1e-12:
        raise LabError(f"the observable must be Hermitian, got the coefficients {observable.coeffs.tolist()}")
    strings = Strings.of(observable.paulis)
    keep = ((strings.x | strings.z) != 0) & (observable.coeffs != 0)
    return strings[keep], observable.coeffs.real[keep]


def _checked(bloch: np.ndarray | None, n_qubits: int) -> np.ndarray:
    bloch = zero_state(n_qubits) if bloch is None else np.asarray(bloch, float)
    if bloch.shape != (n_qubits, 3) or (np.linalg.norm(bloch, axis=1) > 1 + 1e-9).any():
        raise LabError(f"bloch must be {n_qubits} vectors of three components, no longer than 1, got shape {bloch.shape}")
    return bloch


def _holds_state(strings: Strings, bloch: np.ndarray) -> bool:
    """Whether every string whose expectation value is not zero is among these, or the identity."""
    strings = strings[(strings.x | strings.z) != 0]
    wanted = 1
    for vector in bloch:
        wanted *= 1 + int(np.count_nonzero(vector))
    return int(np.count_nonzero(expectations(strings, bloch))) == wanted - 1


def _sign(left: Strings, right: Strings) -> np.ndarray:
    """Of the products of commuting strings."""
    return 1.0 - left.phases(right)


def _group_signs(group: Strings) -> np.ndarray:
    """With which the group's strings multiply like operators: that of number j xor k is the product of j's and k's."""
    signs = np.ones(len(group))
    row = 1
    while row < len(group):
        signs[row : 2 * row] = signs[:row] * _sign(group[:row], group[row : row + 1])
        row *= 2
    return signs
