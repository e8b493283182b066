"""Between Qiskit and PennyLane: the one file that knows both, and that turns wire order into qubit order.

Wire number j is qubit j. PennyLane reads the first wire as the most significant bit, Qiskit the last qubit; every
conversion of that kind is here.
"""

import inspect
from collections.abc import Mapping, Sequence
from operator import methodcaller

import autoray
import numpy as np
import pennylane as qp
from qiskit import QuantumCircuit
from qiskit.circuit import AnnotatedOperation, Parameter, ParameterExpression, ParameterVector
from qiskit.circuit import library as lib
from qiskit.circuit.annotated_operation import ControlModifier
from qiskit.quantum_info import Pauli, SparsePauliOp

from circuits.errors import LabError, Unsupported
from circuits.evolution import Evolution
from circuits.program import Gate, Rotation

# --- programs to PennyLane operations ---------------------------------------------------------------------------------

ISING = {"XX": qp.IsingXX, "YY": qp.IsingYY, "ZZ": qp.IsingZZ}
NEARLY = 1e-5  # unitary, in single precision
SINGLE = {"X": qp.RX, "Y": qp.RY, "Z": qp.RZ}


def operation(gate: Gate, slots: Sequence[float] = ()) -> qp.operation.Operator:
    """The PennyLane operation of a program's gate at the values of all slots."""
    controls = list(gate.controls)
    values = [bool(gate.control_state >> j & 1) for j in range(len(controls))]
    if isinstance(gate, Rotation):
        angle = gate.angle if gate.slot is None else slots[gate.slot]
        if not gate.pauli:  # a phase on the controlled subspace: the last control carries it
            return _controlled_phase(-angle / 2, controls, values)
        base = _rotation(gate, angle)
    elif isinstance(gate, Evolution):
        (matrix,) = gate.matrices(gate.values(np.array(slots)[:, None]))
        base = qp.QubitUnitary(matrix, wires=gate.qubits[::-1])
    elif gate.name == "x":
        base = qp.PauliX(gate.qubits[0])
    else:
        base = qp.QubitUnitary(gate.matrix, wires=gate.qubits[::-1])
    return qp.ctrl(base, control=controls, control_values=values) if controls else base


def _rotation(gate: Rotation, angle: float) -> qp.operation.Operator:
    if len(gate.pauli) == 1:
        return SINGLE[gate.pauli](angle, wires=gate.qubits[0])
    if gate.pauli in ISING:
        return ISING[gate.pauli](angle, wires=gate.qubits)
    return qp.PauliRot(angle, gate.pauli, wires=gate.qubits)


def _controlled_phase(angle: float, controls: list[int], values: list[bool]) -> qp.operation.Operator:
    """exp(i angle) where the controls read `values`."""
    if values[-1]:
        base = qp.PhaseShift(angle, wires=controls[-1])
    else:
        base = qp.QubitUnitary(np.diag([np.exp(1j * angle), 1]), wires=controls[-1])
    if len(controls) == 1:
        return base
    return qp.ctrl(base, control=controls[:-1], control_values=values[:-1])


def pennylane_observable(operator: SparsePauliOp) -> qp.operation.Operator:
    """The same Hermitian operator in PennyLane."""
    words = []
    for label in operator.paulis.to_labels():
        letters = {qubit: letter for qubit, letter in enumerate(reversed(label)) if letter != "I"}
        words.append(qp.pauli.PauliWord(letters).operation(wire_order=[0]))
    return qp.dot([float(c) for c in operator.coeffs.real], words)


def state_preparation(amplitudes: np.ndarray, n_qubits: int) -> qp.operation.Operator:
    """Prepares normalised amplitudes indexed by Qiskit's order."""
    return qp.StatePrep(amplitudes, wires=range(n_qubits)[::-1])


def probability_wires(n_qubits: int) -> list[int]:
    """The wires whose `qp.probs` are indexed by Qiskit's order."""
    return list(range(n_qubits))[::-1]


# --- QNodes to Qiskit circuits ----------------------------------------------------------------------------------------

FUNCTIONS = {
    **{name: methodcaller(name) for name in ("sin", "cos", "tan", "arcsin", "arccos", "arctan", "exp", "log", "abs")},
    "sqrt": lambda symbol: symbol**0.5,
    "ones_like": lambda symbol: 1.0,
    "zeros_like": lambda symbol: 0.0,
    "real": lambda symbol: symbol,
    "imag": lambda symbol: 0.0,
    "conj": lambda symbol: symbol,
    "real_if_close": lambda symbol: symbol,
}  # of real symbols
SAME_NAME = {
    "RX": "rx", "RY": "ry", "RZ": "rz", "PhaseShift": "p", "U1": "p", "U3": "u", "IsingXX": "rxx", "IsingYY": "ryy",
    "IsingZZ": "rzz", "CRX": "crx", "CRY": "cry", "CRZ": "crz", "ControlledPhaseShift": "cp", "Hadamard": "h",
    "PauliX": "x", "PauliY": "y", "PauliZ": "z", "S": "s", "T": "t", "SX": "sx", "CNOT": "cx", "CZ": "cz", "CY": "cy",
    "CH": "ch", "SWAP": "swap", "CSWAP": "cswap", "Toffoli": "ccx", "CCZ": "ccz", "ISWAP": "iswap", "ECR": "ecr",
}  # fmt: skip
NOTHING = ("Barrier", "Identity", "WireCut", "Snapshot")
ANGLED = {*SAME_NAME, *NOTHING, "Rot", "GlobalPhase", "MultiRZ", "PauliRot"}  # what they are given are angles
LARGEST_MATRIX = 10  # wires
MOST_GUESSED = 32  # inputs of a QNode whose device has no wires
DEEPEST = 20  # decompositions within decompositions


def circuit_of_qnode(
    qnode: qp.QNode, weight_shapes: Mapping[str, Sequence[int]], n_inputs: int | None = None
) -> tuple[QuantumCircuit, list[SparsePauliOp], list[Parameter], list[ParameterVector]]:
    """The circuit of a QNode with free parameters, its observables, its inputs, and its weights in their order.

    Args:
        qnode: takes `inputs` (or none) and one argument per entry of `weight_shapes`; returns expectation values.
        n_inputs: how many features `inputs` has; None: found by running the function on symbols.

    Raises:
        Unsupported: an operation or measurement without a counterpart; the message names it.
        LabError: arguments that do not fit `weight_shapes`.
    """
    for name, function in FUNCTIONS.items():  # qp.math.sin(x) of a symbol is the symbol's own sine
        autoray.register_function("qiskit", name, function)
    try:
        return _converted(qnode, weight_shapes, n_inputs)
    except LabError:
        raise
    except (ImportError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise Unsupported(
            f"the QNode does something that has no symbolic form ({' '.join(str(error).split())[:160]}): write it in "
            "standard gates, or build the circuit in Qiskit"
        ) from None


def _converted(qnode: qp.QNode, weight_shapes: Mapping[str, Sequence[int]], n_inputs: int | None):
    wanted = [name for name in inspect.signature(qnode.func).parameters if name != "inputs"]
    if set(wanted) != set(weight_shapes):
        raise LabError(
            f"weight_shapes names {sorted(weight_shapes)}, the QNode's weights are {sorted(wanted)}: name "
            "its argument for the samples `inputs`, every other one is a weight"
        )
    if len(qnode.compile_pipeline):
        names = ", ".join(str(transform).strip("<>") for transform in qnode.compile_pipeline)
        raise Unsupported(f"the QNode has transforms, which a layer does not apply ({names}): pass it without them")
    weights = {name: _symbols(name, _shape(shape)) for name, shape in weight_shapes.items()}
    has_inputs = "inputs" in inspect.signature(qnode.func).parameters
    inputs, tape = _recorded(qnode, weights, n_inputs) if has_inputs else (None, _tape(qnode, weights))
    wires = qnode.device.wires or qp.wires.Wires(sorted(tape.wires.tolist(), key=str))
    qubit_of = {wire: index for index, wire in enumerate(wires)}
    circuit = QuantumCircuit(len(wires))
    for op in tape.operations:
        _append(circuit, op, [qubit_of[w] for w in op.wires], DEEPEST)
    if n_inputs is None and inputs is not None:
        used = [p.index for p in circuit.parameters if p.vector is inputs or p.vector.name == "inputs"]
        inputs = list(inputs)[: max(used, default=-1) + 1]
    vectors = [np.ravel(array)[0].vector for array in weights.values()]
    return circuit, [_observable(m, qubit_of) for m in tape.measurements], list(inputs or ()), vectors


def _shape(shape) -> tuple[int, ...]:
    return (int(shape),) if np.ndim(shape) == 0 else tuple(int(s) for s in shape)


def _symbols(name: str, shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(int(np.prod(shape)), dtype=object)
    array[:] = list(ParameterVector(name, array.size))
    return array.reshape(shape)


def _tape(qnode: qp.QNode, arguments: dict) -> qp.tape.QuantumScript:
    with qp.queuing.AnnotatedQueue() as queue:
        qnode.func(**arguments)
    return qp.tape.QuantumScript.from_queue(queue)


def _recorded(qnode: qp.QNode, weights: dict, n_inputs: int | None):
    """The input vector and the tape of a function whose number of inputs may have to be found out."""
    n_wires = len(qnode.device.wires or ())
    if n_inputs is None and not n_wires:
        n_inputs = _guessed_inputs(qnode, weights)
    sizes = [n_inputs] if n_inputs else [n_wires * factor for factor in (1, 2, 4, 8, 16)]
    for size in sizes:
        found = _with_inputs(qnode, weights, size)
        if found is not None:
            if not n_inputs and _reads_more(qnode, weights, 2 * size, _n_read(*found)):
                raise Unsupported(f"the QNode takes {size} inputs, and reads more where it is given more: say n_inputs=")
            return found
    raise Unsupported("the QNode reads more inputs than could be guessed: say how many with n_inputs=")


def _n_read(vector: ParameterVector, tape: qp.tape.QuantumScript) -> int:
    """One more than the last input that any gate holds."""
    values = [q for op in tape.operations for value in op.data for q in np.ravel(value)]
    held = {p for value in values for p in getattr(value, "parameters", ())} & {*vector}
    return 1 + max((p.index for p in held), default=-1)


def _reads_more(qnode: qp.QNode, weights: dict, size: int, read: int) -> bool:
    """Whether with this many inputs, if it takes them, it reads more than it did."""
    try:
        found = _with_inputs(qnode, weights, size)
    except (ValueError, LabError):
        return False
    inside = found is not None and set(found[1].wires) <= set(qnode.device.wires)
    return inside and _n_read(*found) > read


def _with_inputs(qnode: qp.QNode, weights: dict, size: int):
    """The tape with that many inputs, written as inputs[j] or, for batches, as inputs[:, j]; None if it reads more."""
    symbols = _symbols("inputs", (size,))
    for inputs in (symbols, symbols[None]):
        try:
            return symbols[0].vector, _tape(qnode, {"inputs": inputs, **weights})
        except IndexError:
            continue
        except TypeError as error:
            raise Unsupported(
                f"the QNode does arithmetic on its arguments that has no symbolic form ({error}); amplitude "
                "embeddings, for one: start a Qiskit circuit with encodings.amplitude(n_qubits)"
            ) from None
    return None


def _guessed_inputs(qnode: qp.QNode, weights: dict) -> int:
    """How many inputs a function on a device without wires reads: the most it accepts, where that is bounded."""
    used = {}
    for size in range(1, MOST_GUESSED + 1):
        try:
            found = _with_inputs(qnode, weights, size)
        except ValueError:  # a template that wants fewer features
            continue
        if found is not None:
            used[size] = _n_read(*found)
    if not used or (MOST_GUESSED in used and used[MOST_GUESSED] == MOST_GUESSED):
        raise Unsupported("the QNode's device has no wires, and its inputs could be any number: say it with n_inputs=")
    return max(1, used[max(used)])


def _plain(value):
    """A scalar out of arrays of one element, which functions written for a batch leave behind."""
    value = value.reshape(-1)[0] if isinstance(value, np.ndarray) and value.size == 1 else value
    return value if isinstance(value, ParameterExpression) else float(value)


def _append(circuit: QuantumCircuit, op: qp.operation.Operator, qubits: list[int], depth: int) -> None:
    name = op.name
    if name in NOTHING:
        return
    if name in SAME_NAME:
        getattr(circuit, SAME_NAME[name])(*map(_plain, op.parameters), *qubits)
    elif name == "Rot":
        phi, theta, omega = map(_plain, op.parameters)
        circuit.rz(phi, *qubits)
        circuit.ry(theta, *qubits)
        circuit.rz(omega, *qubits)
    elif name == "GlobalPhase":
        circuit.append(lib.GlobalPhaseGate(-_plain(op.parameters[0])), [])
    elif name in ("MultiRZ", "PauliRot"):
        word = "Z" * len(qubits) if name == "MultiRZ" else op.hyperparameters["pauli_word"]
        _append_pauli_rotation(circuit, word, _plain(op.parameters[0]), qubits)
    elif name == "QubitUnitary":
        circuit.append(_unitary(np.asarray(op.parameters[0])), qubits[::-1])
    elif isinstance(op, qp.ops.op_math.Adjoint | qp.ops.op_math.Controlled):
        _append_modified(circuit, op, qubits, depth)
    elif op.has_decomposition and depth > 0:
        place = dict(zip(op.wires, qubits))
        for piece in op.decomposition():
            _append(circuit, piece, [place[w] for w in piece.wires], depth - 1)
    elif op.has_matrix:
        circuit.append(_unitary(np.asarray(op.matrix())), qubits[::-1])
    else:
        raise Unsupported(f"PennyLane operation {name} has no counterpart in Qiskit: write it in standard gates")


def _unitary(matrix: np.ndarray) -> lib.UnitaryGate:
    if matrix.dtype in (np.complex64, np.float32):  # unitary to seven digits, where Qiskit asks for eight
        left, singular, right = np.linalg.svd(matrix.astype(complex))
        matrix = left @ right if np.abs(singular - 1).max() < NEARLY else matrix
    try:
        return lib.UnitaryGate(matrix)
    except ValueError:  # PennyLane's metric tensor puts generators of controlled gates into circuits
        raise Unsupported(
            "a QubitUnitary's matrix is not unitary: give a unitary one; in qp.metric_tensor, write approx='block-diag', "
            "or make the QNode on default.qubit"
        ) from None


def _append_pauli_rotation(circuit: QuantumCircuit, word: str, angle, qubits: list[int]) -> None:
    pauli = Pauli(word[::-1])
    circuit.append(lib.PauliEvolutionGate(pauli, time=angle / 2), qubits)


def _append_modified(circuit: QuantumCircuit, op, qubits: list[int], depth: int) -> None:
    base = QuantumCircuit(len(op.base.wires))
    _append(base, op.base, list(range(base.num_qubits)), depth)
    if isinstance(op, qp.ops.op_math.Adjoint):
        circuit.compose(base.inverse(), qubits, inplace=True)
        return
    order = [*op.control_wires, *op.base.wires]
    place = dict(zip(op.wires, qubits))
    state = sum(1 << j for j, value in enumerate(op.control_values) if value)
    for item in base.data:
        targets = [place[op.base.wires[base.find_bit(bit).index]] for bit in item.qubits]
        gate = AnnotatedOperation(item.operation, ControlModifier(len(op.control_wires), state))
        circuit.append(gate, [*(place[w] for w in order[: len(op.control_wires)]), *targets])


def _observable(measurement, qubit_of: Mapping) -> SparsePauliOp:
    operator = measurement.obs
    if not isinstance(measurement, qp.measurements.ExpectationMP) or operator is None or operator.pauli_rep is None:
        raise Unsupported(f"a layer returns expectation values of Pauli sums, the QNode returns {measurement}")
    return pauli_sum(operator.pauli_rep, qubit_of)


def pauli_sum(sentence: qp.pauli.PauliSentence, qubit_of: Mapping) -> SparsePauliOp:
    """A PennyLane sum of Pauli words on as many qubits as there are wires."""
    terms = [("".join(w.values()), [qubit_of[wire] for wire in w], complex(c)) for w, c in sentence.items()]
    return SparsePauliOp.from_sparse_list(terms or [("", [], 0.0)], max(1, len(qubit_of)))


# --- tapes to programs ------------------------------------------------------------------------------------------------


def is_angled(op: qp.operation.Operator) -> bool:
    """Whether everything that the operation is given is an angle of gates that Qiskit has too."""
    if op.name in ANGLED:
        return True
    return isinstance(op, qp.ops.op_math.Adjoint | qp.ops.op_math.Controlled) and is_angled(op.base)


def is_convertible(op: qp.operation.Operator) -> bool:
    """Whether `parametric_circuit` takes the operation as it is; a matrix only as a constant."""
    if is_angled(op):
        return True
    if isinstance(op, qp.ops.op_math.Adjoint | qp.ops.op_math.Controlled):
        return is_convertible(op.base)
    is_matrix = op.name == "QubitUnitary" or (op.has_matrix and not op.has_decomposition)
    return is_matrix and len(op.wires) <= LARGEST_MATRIX


def parametric_circuit(
    operations: Sequence[qp.operation.Operator], qubit_of: Mapping
) -> tuple[QuantumCircuit, ParameterVector]:
    """The operations as a circuit in which every angle is a parameter of its own, in the order of the operations' data.

    Raises:
        Unsupported: an operation without a counterpart.
    """
    angles = ParameterVector("t", sum(len(op.data) for op in operations if is_angled(op)))
    circuit, left = QuantumCircuit(max(1, len(qubit_of))), iter(angles)
    for op in operations:
        if op.data and is_angled(op):
            op = qp.ops.functions.bind_new_parameters(op, [next(left) for _ in op.data])
        _append(circuit, op, [qubit_of[w] for w in op.wires], DEEPEST)
    return circuit, angles


def places_of_wires(qubits: Sequence[int]) -> np.ndarray:
    """(2^k,): the basis state of the qubits that PennyLane counts as number j, the first of them most significant."""
    number = np.arange(1 << len(qubits))
    bits = (number >> (len(qubits) - 1 - j) & 1 for j in range(len(qubits)))
    return sum((bit << qubit for bit, qubit in zip(bits, qubits)), np.zeros_like(number))


def by_wires(of_basis_states: np.ndarray, qubits: Sequence[int]) -> np.ndarray:
    """(B, 2^n) amplitudes of all n qubits in PennyLane's order, the first of `qubits` most significant."""
    return of_basis_states[:, places_of_wires(qubits)]


def marginal(probabilities: np.ndarray, qubits: Sequence[int]) -> np.ndarray:
    """(B, 2^k) probabilities of some qubits in PennyLane's order, from the (B, 2^n) ones of all."""
    n_qubits = probabilities.shape[1].bit_length() - 1
    axes = [1 + n_qubits - 1 - qubit for qubit in qubits]  # the highest qubit is the first axis after the batch
    others = tuple(set(range(1, n_qubits + 1)) - set(axes))
    table = probabilities.reshape(-1, *[2] * n_qubits).transpose(0, *axes, *others)
    return table.reshape(len(probabilities), 1 << len(qubits), -1).sum(axis=-1)


def bits_of_wires(outcomes: np.ndarray, n_qubits: int) -> np.ndarray:
    """(..., n) zeros and ones, a column for each wire, from basis states as integers."""
    return outcomes[..., None] >> np.arange(n_qubits) & 1
