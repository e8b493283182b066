"""How long a shot takes on named public devices: gate and readout times that were published, and the wait between shots."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from circuits.errors import LabError, UnknownName

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.transpiler import Target

    from circuits.program import Program

LAYOUT_SEED = 0


@dataclass(frozen=True)
class Device:
    """A device's clock; times in seconds.

    Attributes:
        two_qubit: its two-qubit gate, by Qiskit's name. RZ is a change of frame and takes no time on any of them.
        one_qubit_time, two_qubit_time, readout_time: medians over the device.
        delay: between the end of a shot and the start of the next, by default.
        on_line: gates act on neighbours of a line of qubits; else on any two, one gate at a time.
        is_cold: it stands in a refrigerator for millikelvins, which is most of its power.
        source: where the times stand.
    """

    name: str
    two_qubit: str
    one_qubit_time: float
    two_qubit_time: float
    readout_time: float
    delay: float
    on_line: bool
    is_cold: bool
    source: str

    def target(self, n_qubits: int) -> "Target":
        """What Qiskit transpiles `n_qubits` of it to."""
        from qiskit.transpiler import CouplingMap, InstructionDurations, Target

        pairs = CouplingMap.from_line(n_qubits) if self.on_line else CouplingMap.from_full(n_qubits)
        singles = {"rz": 0.0, "sx": self.one_qubit_time, "x": self.one_qubit_time, "measure": self.readout_time}
        durations = [(name, [qubit], seconds, "s") for name, seconds in singles.items() for qubit in range(n_qubits)]
        durations += [(self.two_qubit, list(pair), self.two_qubit_time, "s") for pair in pairs.get_edges()]
        return Target.from_configuration(
            [*singles, *([self.two_qubit] if n_qubits > 1 else [])],
            n_qubits,
            pairs if n_qubits > 1 else None,
            instruction_durations=InstructionDurations(durations),
        )

    def seconds(self, circuit: "QuantumCircuit") -> float:
        """From the first gate to the end of the readout of one shot, once the circuit is transpiled to the device."""
        from qiskit import transpile

        measured = circuit.copy()
        measured.measure_all()
        target = self.target(circuit.num_qubits)
        placed = transpile(measured, target=target, optimization_level=2, seed_transpiler=LAYOUT_SEED)
        if self.on_line:
            return float(placed.estimate_duration(target))
        counts = placed.count_ops()
        ones, twos = counts.get("sx", 0) + counts.get("x", 0), counts.get(self.two_qubit, 0)
        return ones * self.one_qubit_time + twos * self.two_qubit_time + self.readout_time


_IBM = "IBM's snapshot in qiskit-ibm-runtime 0.51.0 (fake_provider), of"
_IONQ = "IonQ's characterization, as in Amazon Braket's SDK"
_DEVICES = [
    Device("ibm_sherbrooke", "ecr", 56.889e-9, 533.333e-9, 1216e-9, 250e-6, True, True, f"{_IBM} 2025-02-26"),
    Device("ibm_torino", "cz", 32e-9, 68e-9, 1560e-9, 250e-6, True, True, f"{_IBM} 2025-02-26"),
    Device("ibm_kingston", "cz", 32e-9, 68e-9, 2280e-9, 250e-6, True, True, f"{_IBM} 2026-04-15"),
    # The delay is that of the reset alone; cooling between shots is not published.
    Device("ionq_aria", "rzz", 135e-6, 600e-6, 300e-6, 20e-6, False, False, _IONQ),
]
DEVICES = {device.name: device for device in _DEVICES}


def by_name(name: str) -> Device:
    """The device called `name`; an unknown name raises `UnknownName` with the nearest one."""
    if name not in DEVICES:
        raise UnknownName("device", name, DEVICES)
    return DEVICES[name]


def as_circuit(program: "Program", angles: Sequence[float]) -> "QuantumCircuit":
    """A program with a number for every slot as a Qiskit circuit.

    Raises:
        LabError: the program starts from amplitudes.
    """
    from qiskit import QuantumCircuit

    from qml.standard_gates import append_program

    if program.amplitudes:
        raise LabError("a program that starts from amplitudes is no circuit of gates: use an encoding by angles")
    circuit = QuantumCircuit(program.n_qubits)
    append_program(circuit, program, [float(angle) for angle in angles])
    return circuit
