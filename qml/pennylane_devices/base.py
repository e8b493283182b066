"""PennyLane's Device API over a backend of ours: batches are kept whole, and gradients are adjoint."""

from abc import abstractmethod
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pennylane as qp
from autograd.tracer import isbox
from pennylane.devices import ExecutionConfig
from pennylane.devices.modifiers import simulator_tracking, single_tape_support
from pennylane.devices.preprocess import (
    decompose,
    device_resolve_dynamic_wires,
    no_sampling,
    validate_device_wires,
    validate_measurements,
)
from pennylane.exceptions import DeviceError
from pennylane.math import Interface, requires_grad
from pennylane.transforms.core import CompilePipeline, transform

from circuits.errors import LabError
from circuits.interop import is_angled, is_convertible
from qml.backends.base import Backend
from qml.seeds import child
from qml.tapes.readings import LARGEST_MATRIX, is_hermitian, is_read, is_small, matrix_of, not_hermitian, on_wires
from qml.tapes.runs import TapeRuns
from qml.tapes.structure import begins_with_a_state

DTYPES = {np.dtype(np.complex128): np.float64, np.dtype(np.complex64): np.float32}
METHODS = ("adjoint", "best", "device")


NO_SECOND_ORDER = (
    "second derivatives by adjoint are not supported: make the QNode with diff_method='parameter-shift', max_diff=2"
)


class Derivatives(tuple):
    """Derivatives by the parameters of one tape, which may be of different shapes where the tape is batched.

    PennyLane's torch interface asks `np.squeeze` whether there are any, which cannot look into such a tuple itself.
    """

    def squeeze(self, axis=None) -> np.ndarray:
        """As many numbers as there are derivatives."""
        return np.empty(len(self))


def _unchanged(results):
    return results[0]


@transform
def _expand_batched_constants(tape: qp.tape.QuantumScript):
    """A batch of matrices is a circuit for each; a batch of angles, or of initial states, is not expanded."""
    start = begins_with_a_state(tape)
    if any(not is_angled(op) and op.batch_size for op in tape.operations[start:]):
        return qp.transforms.broadcast_expand(tape)
    return (tape,), _unchanged


@transform
def _name_all_wires(tape: qp.tape.QuantumScript, device_wires):
    """A measurement without wires is of all: the device's, or the circuit's in the order in which gates first use them."""
    if device_wires or all(m.obs is not None or m.wires for m in tape.measurements):
        return (tape,), _unchanged
    own = [m.wires for m in tape.measurements if m.wires]
    wires = qp.wires.Wires.all_wires([*_wires_of_gates(tape.operations), *own])
    measurements = [m if m.obs is not None or m.wires else copy(m) for m in tape.measurements]
    for measurement in measurements:
        if measurement.obs is None and not measurement.wires:
            measurement._wires = wires
    return (tape.copy(measurements=measurements),), _unchanged


def _wires_of_gates(operations):
    """The wires of each, a template being the gates that it is made of, as default.qubit has it."""
    for op in operations:
        if op.has_matrix or isinstance(op, qp.StatePrep) or not op.has_decomposition:
            yield op.wires
        else:
            yield from _wires_of_gates(op.decomposition())


@transform
def _refuse_not_hermitian(tape: qp.tape.QuantumScript):
    """Their values are not real, and would be cut silently."""
    for operator in (m.obs for m in tape.measurements if m.obs is not None):
        is_told = tape.shots or operator.pauli_rep is not None  # of other matrices it is asked once, when they are compiled
        if is_told and not is_hermitian(operator):
            raise DeviceError(not_hermitian(operator))
    return (tape,), _unchanged


@transform
def _split_trainable_sums(tape: qp.tape.QuantumScript):
    """A trainable coefficient is PennyLane's to differentiate by: its observable is split into the words."""
    if any(m.obs is not None and any(requires_grad(d) for d in m.obs.data) for m in tape.measurements):
        return qp.transforms.split_to_single_terms(tape)
    return (tape,), _unchanged


@transform
def _refuse_nested_autograd(tape: qp.tape.QuantumScript):
    """Numbers that two derivatives of autograd's follow: the outer one would silently lose what the device does."""
    levels = set()
    for number in tape.get_parameters(trainable_only=False):
        while isbox(number):
            levels.add(number._trace)
            number = number._value
    if len(levels) > 1:
        raise DeviceError(NO_SECOND_ORDER)
    return (tape,), _unchanged


@transform
def _refuse_trainable_phases(tape: qp.tape.QuantumScript):
    """The gradient by an initial state is known for real amplitudes."""
    if begins_with_a_state(tape):
        state = tape.operations[0].data[0]
        if requires_grad(state) and "complex" in qp.math.get_dtype_name(state):
            raise DeviceError(
                "the gradient by complex amplitudes of StatePrep is not supported: give it real ones, or prepare the state "
                "by gates"
            )
    return (tape,), _unchanged


def _accepts(op: qp.operation.Operator) -> bool:
    """Whether an operation is run as it is. A matrix with a gradient is decomposed into gates that have angles."""
    return is_convertible(op) and (is_angled(op) or not any(requires_grad(d) for d in op.data))


def _is_only_a_trainable_matrix(op: qp.operation.Operator) -> bool:
    return not (is_angled(op) or op.has_decomposition) and any(requires_grad(d) for d in op.data)


@transform
def _refuse_observables(tape: qp.tape.QuantumScript, name: str):
    """Matrices on too many wires; with shots, what no gates diagonalise."""
    for operator in (m.obs for m in tape.measurements if m.obs is not None):
        if operator.pauli_rep is None and not (operator.has_diagonalizing_gates if tape.shots else is_small(operator)):
            raise DeviceError(
                f"observable {operator.name} on {len(operator.wires)} wires is not supported on {name}: give it as a sum of "
                f"Pauli words, or as a matrix on at most {LARGEST_MATRIX} wires"
            )
    return (tape,), _unchanged


def _accepts_exact(measurement: qp.measurements.MeasurementProcess) -> bool:
    return isinstance(measurement, qp.measurements.StateMeasurement)


def _accepts_sampled(measurement: qp.measurements.MeasurementProcess) -> bool:
    return isinstance(measurement, qp.measurements.SampleMeasurement)


class LabDevice(qp.devices.Device):
    """A backend as a PennyLane device.

    Args:
        wires: as PennyLane's; None takes whatever a circuit uses.
        shots: as PennyLane's, which prefers `qp.set_shots` on the QNode.
        seed: a whole number, or None for a different stream every time. The same seed gives the same samples.
        c_dtype: np.complex128, or np.complex64 for simulation in single precision.
    """

    pennylane_requires = ">=0.45"

    def __init__(
        self, wires=None, shots=None, seed: int | np.random.SeedSequence | None = None, c_dtype=np.complex128
    ) -> None:
        super().__init__(wires=wires, shots=shots)
        if np.dtype(c_dtype) not in DTYPES:
            raise LabError(f"c_dtype must be numpy.complex128 or numpy.complex64, got {c_dtype!r}")
        self._dtype = np.dtype(DTYPES[np.dtype(c_dtype)])
        self._seed = seed if isinstance(seed, np.random.SeedSequence) else np.random.SeedSequence(seed)
        self._n_draws = 0
        self.backend = self._made_backend()
        self._forget()

    @abstractmethod
    def _made_backend(self) -> Backend:
        """The backend that runs everything."""

    @abstractmethod
    def _states(self, compiled, inputs: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """(B, 2^n) final states, up to the global phase that the program tells."""

    def _forget(self) -> None:
        self._runs = TapeRuns(self.backend, self._states, self.wires, self._dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "_runs"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    # --- what PennyLane asks beforehand -------------------------------------------------------------------------------

    def setup_execution_config(
        self, config: ExecutionConfig | None = None, circuit: qp.tape.QuantumScript | None = None
    ) -> ExecutionConfig:
        """The configuration with what was left open: adjoint gradients, by products with cotangents where that works.

        Raises:
            DeviceError: a device option, or a way to measure in the middle of a circuit, that there is not.
        """
        config = config or ExecutionConfig()
        for option in config.device_options:
            raise DeviceError(f"device option {option} is not supported on {self.name}: give options to qp.device")
        method = "adjoint" if config.gradient_method in METHODS else config.gradient_method
        is_adjoint = method == "adjoint"
        updated = {"gradient_method": method, "grad_on_execution": False}
        if config.use_device_gradient is None:
            updated["use_device_gradient"] = is_adjoint
        # A QNode says False where its user said nothing, and a Jacobian costs a sweep for each result. JAX alone asks for
        # products with tangents, which there are not.
        is_jax = config.interface in (Interface.JAX, Interface.JAX_JIT)
        updated["use_device_jacobian_product"] = is_adjoint and not is_jax
        way = config.mcm_config.mcm_method
        if way not in (None, "deferred"):
            raise DeviceError(f"mcm_method {str(way)!r} is not supported on {self.name}: use mcm_method='deferred'")
        return replace(config, **updated, mcm_config=replace(config.mcm_config, mcm_method="deferred"))

    def preprocess_transforms(self, execution_config: ExecutionConfig | None = None) -> CompilePipeline:
        """From a user's tapes to those that `execute` takes; a batch stays one tape."""
        config, pipeline, name = execution_config or ExecutionConfig(), CompilePipeline(), self.name
        is_adjoint = config.gradient_method == "adjoint"
        pipeline.add_transform(qp.defer_measurements, allow_postselect=False)
        pipeline.add_transform(_name_all_wires, self.wires)
        pipeline.add_transform(_refuse_not_hermitian)
        if is_adjoint:
            pipeline.add_transform(no_sampling, name=f"adjoint + {name}")
            pipeline.add_transform(_refuse_nested_autograd)
            pipeline.add_transform(_split_trainable_sums)
            pipeline.add_transform(_refuse_trainable_phases)
        pipeline.add_transform(
            decompose,
            stopping_condition=_accepts if is_adjoint else is_convertible,
            device_wires=self.wires,
            target_gates=self.capabilities.gate_set(),
            name=name,
        )
        pipeline.add_transform(device_resolve_dynamic_wires, wires=self.wires, allow_resets=False)
        pipeline.add_transform(validate_device_wires, self.wires, name=name)
        pipeline.add_transform(
            validate_measurements, analytic_measurements=_accepts_exact, sample_measurements=_accepts_sampled, name=name
        )
        pipeline.add_transform(_refuse_observables, name=name)
        pipeline.add_transform(_split_sampled)
        if is_adjoint and not config.use_device_jacobian_product:
            pipeline.add_transform(qp.transforms.broadcast_expand)  # a Jacobian of a batch is mostly zeros
        pipeline.add_transform(_expand_batched_constants)
        return pipeline

    def supports_derivatives(
        self, execution_config: ExecutionConfig | None = None, circuit: qp.tape.QuantumScript | None = None
    ) -> bool:
        """First derivatives of exact expectation values, variances and probabilities of up to eight wires."""
        if execution_config is not None and (
            execution_config.gradient_method not in METHODS or execution_config.derivative_order != 1
        ):
            return False
        if circuit is None:
            return True
        if circuit.shots or any(_is_only_a_trainable_matrix(op) for op in circuit.operations):
            return False
        return all(is_read(on_wires(m, self.wires or circuit.wires)) for m in circuit.measurements)

    def supports_vjp(
        self, execution_config: ExecutionConfig | None = None, circuit: qp.tape.QuantumScript | None = None
    ) -> bool:
        """Wherever there are derivatives."""
        return self.supports_derivatives(execution_config, circuit)

    # --- what it runs -------------------------------------------------------------------------------------------------

    def execute(self, circuits, execution_config: ExecutionConfig | None = None):
        """Results in PennyLane's nesting; circuits that differ in numbers only are one run."""
        config = execution_config or ExecutionConfig()
        self._n_draws += 1
        return self._runs.execute(circuits, child(self._seed, self._n_draws), bool(config.use_device_jacobian_product))

    def compute_vjp(self, circuits, cotangents, execution_config: ExecutionConfig | None = None):
        """Derivatives of sum cotangents * results, from one sweep back for each structure of circuits.

        Raises:
            DeviceError: a second derivative is asked for.
        """
        self._refuse_second_order(execution_config or ExecutionConfig())
        return tuple(map(Derivatives, self._runs.vjp(circuits, cotangents)))

    def execute_and_compute_vjp(self, circuits, cotangents, execution_config: ExecutionConfig | None = None):
        """Both, the final states of the first being the start of the second."""
        config = replace(execution_config or ExecutionConfig(), use_device_jacobian_product=True)
        return self.execute(circuits, config), self.compute_vjp(circuits, cotangents, config)

    def compute_derivatives(self, circuits, execution_config: ExecutionConfig | None = None):
        """Jacobians, all results of all circuits of one structure by one sweep back."""
        if any(circuit.batch_size for circuit in circuits):
            raise DeviceError("a Jacobian of a batch is not supported: use device_vjp=True, or expand the batch")
        return tuple(self._runs.jacobians(circuits))

    def execute_and_compute_derivatives(self, circuits, execution_config: ExecutionConfig | None = None):
        """Both."""
        return self.execute(circuits, execution_config), self.compute_derivatives(circuits, execution_config)

    def _refuse_second_order(self, config: ExecutionConfig) -> None:
        """PennyLane would take what is returned for constants, and a second derivative would silently be wrong."""
        if config.interface == Interface.TORCH and _torch_records():
            raise DeviceError(NO_SECOND_ORDER)


def _torch_records() -> bool:
    import torch

    return torch.is_grad_enabled()


@transform
def _split_sampled(tape: qp.tape.QuantumScript):
    """Shots are of one basis: measurements that do not share one become circuits of their own."""
    if not tape.shots:
        return (tape,), _unchanged
    return qp.transforms.split_non_commuting(tape.copy(measurements=[_in_one_basis(m) for m in tape.measurements]))


def _in_one_basis(measurement: qp.measurements.MeasurementProcess):
    """The same with its observable as one matrix, where values of its terms do not add up to that of the whole."""
    if not _is_indivisible(measurement):
        return measurement
    operator = measurement.obs
    if not is_small(operator):
        raise DeviceError(
            f"with shots, the variance of a sum on {len(operator.wires)} wires is not supported: run without shots, or take "
            f"a sum on at most {LARGEST_MATRIX} wires"
        )
    if not operator.wires:
        return measurement
    return type(measurement)(obs=qp.Hermitian(matrix_of(operator), wires=operator.wires))


def _is_indivisible(measurement: qp.measurements.MeasurementProcess) -> bool:
    """Whether it is the variance of anything but one Pauli word, or a sum of products that are not Hermitian each."""
    operator, words = measurement.obs, measurement.obs is not None and measurement.obs.pauli_rep
    if isinstance(measurement, qp.measurements.VarianceMP) and operator is not None:
        if words is None:
            return isinstance(operator, qp.ops.Sum | qp.ops.SProd)
        return len(words) != 1 or any(not word or coefficient == 0 for word, coefficient in words.items())
    is_sum = isinstance(measurement, qp.measurements.ExpectationMP) and isinstance(operator, qp.ops.Sum)
    return is_sum and words is None and not all(map(is_hermitian, operator.operands)) and is_small(operator)


def finished(cls: type[LabDevice]) -> type[LabDevice]:
    """The device with what PennyLane's own simulators add: single tapes, and a tracker."""
    return simulator_tracking(single_tape_support(cls))
