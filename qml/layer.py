"""A quantum circuit as a `torch.nn.Module`: expectation values out, gradients to weights and to inputs."""

import math
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from qiskit import QuantumCircuit

from circuits.errors import LabError
from circuits.lowering import lower
from circuits.observables import as_list
from qml.angles import Binding
from qml.autograd import expectation, register
from qml.backends import base as backends
from qml.evaluation import Evaluation
from qml.gradients import base as gradients
from qml.readout import Readout, Strings, parameters_of
from qml.roles import Parameters, checked_shapes, initial_weights, roles

PRECISIONS = (torch.float32, torch.float64)


class QuantumLayer(torch.nn.Module):
    """Maps inputs (..., n_inputs) to expectation values (..., n_outputs) of a parametrised circuit.

    Args:
        circuit: a Qiskit circuit without measurements.
        observables: None for Z on each qubit, or a Pauli label, a `SparsePauliOp`, or a list of them. Parameters in
            coefficients are weights (or inputs) like those of the circuit, and start at 1 unless `init` says otherwise.
        inputs: the circuit's input parameters (`Parameter`s or `ParameterVector`s); None: those of the vector "x".
        weights: the trainable ones, likewise; None: all others. Each vector becomes a `Parameter` under its own name.
        backend: "native", "aer", "pennylane", "qiskit", a backend object, a PennyLane device, an `AerSimulator`, or any
            Qiskit `BackendV2` or V2 primitive.
        diff_method: "best", "adjoint", "parameter-shift", "finite-diff", "spsa", or a method object.
        shots: None for exact values, else how often each group of commuting terms is measured per sample.
        init: "uniform", "small_angle", "gaussian", an array (for one vector), or a mapping from vector name to either.
        seed: starts the streams of initial weights and of shots; None draws a fresh one.
        weight_shapes: shapes other than (size,) for the torch parameters of some vectors.
        device, dtype: of the weights, as for any torch module.

    Raises:
        Unsupported: backend, method and shots cannot work together; the message names what would.
        LabError: anything else that does not fit, in one line.

    Cost: a step is one forward and one backward sweep for a whole batch where the gradient is adjoint.
    """

    def __init__(
        self,
        circuit: QuantumCircuit,
        observables=None,
        inputs=None,
        weights=None,
        backend="native",
        diff_method="best",
        shots: int | None = None,
        init: str | Any = "uniform",
        seed: int | None = None,
        *,
        weight_shapes: Mapping[str, tuple[int, ...]] | None = None,
        device=None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self._program = lower(circuit)
        self.circuit = circuit
        held = parameters_of(observables)
        strings = Strings(observables, circuit.num_qubits) if held else None
        self._observables = strings.observables if strings else as_list(observables, circuit.num_qubits)
        self._measured = strings.measured if strings else self._observables
        self.input_parameters, vectors = roles(Parameters(circuit, held), inputs, weights)
        self._vectors = {name: len(parameters) for name, parameters in vectors.items()}
        shapes = checked_shapes(weight_shapes or {}, self._vectors)
        self.weight_parameters = [p for parameters in vectors.values() for p in parameters]
        self._shots, self._diff_method, self.init = shots, diff_method, init
        self._backend = backends.resolve(backend)
        self._entropy = _entropy(seed)
        self._binding = Binding(self._program, self.input_parameters, self.weight_parameters)
        everything = [*self.input_parameters, *self.weight_parameters]
        self._readout = Readout(strings, everything) if strings else None
        self._coefficients = {
            n for n, ps in vectors.items() if not set(ps).isdisjoint(held) and set(ps).isdisjoint(circuit.parameters)
        }
        self._compile()
        self.register_buffer("_stream", torch.tensor([self._entropy, 0]), persistent=False)
        dtype = _checked_dtype(dtype or torch.get_default_dtype())
        for name in self._vectors:
            if hasattr(self, name):
                raise LabError(f"a weight vector cannot be called {name!r}, the layer uses that name: rename it")
            self.register_parameter(name, torch.nn.Parameter(torch.empty(shapes[name], device=device, dtype=dtype)))
        self._binding.to(device=device, dtype=dtype)
        if self._readout is not None:
            self._readout.to(device=device, dtype=dtype)
        self.reset_parameters()

    @classmethod
    def from_qnode(cls, qnode, weight_shapes: Mapping[str, Any], **options) -> "QuantumLayer":
        """The layer that does what a PennyLane QNode does, by `TorchLayer`'s convention.

        Args:
            qnode: its argument `inputs` is the input; it returns expectation values.
            weight_shapes: shape of every other argument, which becomes a weight under its own name.
            options: of `QuantumLayer`.
        """
        from qml.qnode import layer_from_qnode

        return layer_from_qnode(cls, qnode, weight_shapes, options)

    @property
    def n_inputs(self) -> int:
        """Features per sample."""
        return len(self.input_parameters)

    @property
    def n_outputs(self) -> int:
        """Expectation values per sample."""
        return len(self.observables)

    @property
    def method(self) -> str:
        """The name of the gradient method in use: what "best" came to."""
        return self._evaluation.method.name

    @property
    def observables(self) -> list:
        """What is measured, one sum of Pauli strings an output; other ones make another layer."""
        return self._observables

    @property
    def backend(self):
        """The backend object that runs the circuit; like `diff_method` and `shots` it can be set."""
        return self._backend

    @backend.setter
    def backend(self, backend) -> None:
        self._change(_backend=backends.resolve(backend))

    @property
    def diff_method(self):
        """The gradient method as it was asked for."""
        return self._diff_method

    @diff_method.setter
    def diff_method(self, diff_method) -> None:
        self._change(_diff_method=diff_method)

    @property
    def shots(self) -> int | None:
        """How often each group of commuting terms is measured per sample; None for exact values."""
        return self._shots

    @shots.setter
    def shots(self, shots: int | None) -> None:
        self._change(_shots=shots)

    def _change(self, **options) -> None:
        """Other options, unless they cannot work together: then all stays as it was."""
        before = {name: getattr(self, name) for name in options}
        self.__dict__.update(options)
        try:
            self._compile()
        except LabError:
            self.__dict__.update(before)
            raise

    def _compile(self) -> None:
        compiled = self._backend.compile(self._program, self._measured, self._binding.slots)
        method = gradients.resolve(self._diff_method, compiled, self._shots)
        self._evaluation = Evaluation(compiled, method, self._shots)
        self._handle = register(self._evaluation)

    def __getstate__(self):
        return {key: value for key, value in self.__dict__.items() if key not in ("_evaluation", "_handle")}

    def __setstate__(self, state):
        super().__setstate__(state)
        self._compile()

    def reset_parameters(self) -> None:
        """Draw the initial weights again, the same ones for the same seed."""
        init = self.init
        if self._coefficients and isinstance(init, str | Mapping):
            given = dict.fromkeys(self._vectors, init) if isinstance(init, str) else init
            ones = {name: np.ones(self._vectors[name]) for name in self._coefficients}
            init = given | ones if isinstance(init, str) else ones | dict(given)
        drawn = initial_weights(init, self._vectors, self._entropy, self.circuit, self._measured)
        with torch.no_grad():
            for name, values in drawn.items():
                parameter = getattr(self, name)
                parameter.copy_(torch.as_tensor(values, dtype=parameter.dtype).reshape(parameter.shape))

    def reset(self) -> None:
        """Start the stream of shots again, so that the same calls give the same estimates."""
        self._stream = torch.stack([self._stream[0], torch.zeros_like(self._stream[1])])  # a graph may hold the old one

    def forward(self, inputs: torch.Tensor | None = None) -> torch.Tensor:
        """(..., n_outputs) from (..., n_inputs); a circuit without inputs takes none and gives (n_outputs,)."""
        weights = self._flat_weights()
        if self.n_inputs == 0:
            if inputs is not None and inputs.shape[-1] != 0:
                raise LabError("the circuit has no inputs: call the layer without an argument")
            batch = () if inputs is None else tuple(inputs.shape[:-1])
            values = self.evaluate(None, weights)[0]
            return values.expand(*batch, self.n_outputs)
        inputs = self._checked_inputs(inputs, weights)
        if inputs.dim() == 2:
            return self._values(inputs, weights)
        batch = inputs.shape[:-1]
        values = self._values(inputs.reshape(math.prod(batch), self.n_inputs), weights)
        return values.reshape(*batch, self.n_outputs)

    def evaluate(self, inputs: torch.Tensor | None, weights: torch.Tensor) -> torch.Tensor:
        """(B, n_outputs) at given weights: one vector (n_weights,), or one vector per sample (B, n_weights).

        Args:
            inputs: (B, n_inputs), or None for a circuit without inputs.
            weights: columns in the order of `weight_parameters`.
        """
        weights = self._checked_weights(weights)
        if inputs is None:
            _checked_dtype(weights.dtype)
            if self.n_inputs:
                raise LabError(f"the circuit has {self.n_inputs} inputs: pass them, of shape (B, {self.n_inputs})")
            inputs = weights.new_zeros(len(weights) if weights.dim() == 2 else 1, 0)
        else:
            inputs = self._checked_inputs(inputs, weights)
            if inputs.dim() != 2 or (weights.dim() == 2 and len(weights) != len(inputs)):
                raise LabError(f"inputs {tuple(inputs.shape)} and weights {tuple(weights.shape)} are no batch together")
        return self._values(inputs, weights)

    def _values(self, inputs: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        """What `evaluate` gives, of tensors that fit."""
        if not self.weight_parameters and (weights.dtype != inputs.dtype or weights.device != inputs.device):
            self.to(inputs.device, inputs.dtype)  # without weights, the inputs say where and in which precision
            weights = inputs.new_zeros(weights.shape)
        values = expectation(self._evaluation, self._handle, self._seed(), *self._angles(inputs, weights))
        return values if self._readout is None else _without_autocast(self._readout, values, inputs, weights)

    def _angles(self, inputs: torch.Tensor, weights: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        binding = self._modules["_binding"]  # an attribute of a module that is one costs as much as a small kernel
        if binding.is_identity:
            return inputs, weights
        if weights.dtype != binding.dtype:
            raise LabError(
                f"weights are {_name(weights.dtype)} and the layer's constants {_name(binding.dtype)}: "
                f"use layer.to({_name(weights.dtype)})"
            )
        return _without_autocast(binding, inputs, weights)

    def _checked_weights(self, weights: torch.Tensor) -> torch.Tensor:
        expected = len(self.weight_parameters)
        if weights.dim() not in (1, 2) or weights.shape[-1] != expected:
            raise LabError(f"weights must have shape ({expected},) or (B, {expected}), got {tuple(weights.shape)}")
        return weights

    def _flat_weights(self) -> torch.Tensor:
        registered = self._parameters
        # Where a parametrisation stands in its place, a parameter is found by its name alone.
        parameters = [registered[name] if name in registered else getattr(self, name) for name in self._vectors]
        # Every operation that is not needed is one that autograd need not undo.
        parameters = [p if p.dim() == 1 else p.reshape(-1) for p in parameters]
        if len(parameters) == 1:
            return parameters[0]
        return torch.cat(parameters) if parameters else self._binding._fixed._offset.new_zeros(0)

    def _checked_inputs(self, inputs: torch.Tensor | None, weights: torch.Tensor) -> torch.Tensor:
        if (
            isinstance(inputs, torch.Tensor)
            and inputs.dtype is weights.dtype
            and inputs.dtype in PRECISIONS
            and inputs.shape[-1:] == (self.n_inputs,)
            and inputs.device == weights.device
        ):
            return inputs
        if not isinstance(inputs, torch.Tensor):
            raise LabError(
                f"inputs must be a torch tensor of shape (..., {self.n_inputs}), got {type(inputs).__name__}: write "
                f"torch.as_tensor(inputs, dtype=torch.{_name(weights.dtype)})"
            )
        if inputs.dim() == 0 or inputs.shape[-1] != self.n_inputs:
            raise LabError(
                f"the circuit has {self.n_inputs} inputs: expected a shape (..., {self.n_inputs}), got {tuple(inputs.shape)}"
            )
        if torch.is_autocast_enabled(inputs.device.type) and inputs.dtype in (torch.float16, torch.bfloat16):
            inputs = inputs.to(weights.dtype)
        if not inputs.is_floating_point():
            raise LabError(f"inputs are {_name(inputs.dtype)}: write inputs.to({_name(weights.dtype)})")
        if inputs.dtype != weights.dtype and len(weights):
            raise LabError(
                f"inputs are {_name(inputs.dtype)} and the weights {_name(weights.dtype)}: "
                f"use layer.to(inputs.dtype) or inputs.to({_name(weights.dtype)})"
            )
        _checked_dtype(inputs.dtype)
        if inputs.device != weights.device and len(weights):
            raise LabError(f"inputs are on {inputs.device} and the weights on {weights.device}: move one of them")
        return inputs

    def _seed(self) -> torch.Tensor:
        """(2,): the stream's entropy and the number of this draw, as a tensor so that a compiled graph counts on."""
        seed = self._buffers["_stream"]
        if self._evaluation.is_random:
            seed = seed.clone()
            # Counted outside of a torch.func transform, which may change nothing that it was not given.
            outside = torch._C._DisableFuncTorch if torch._C._are_functorch_transforms_active() else nullcontext
            with outside():
                self._stream[1] += 1
        return seed

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    def extra_repr(self) -> str:
        """What `print(model)` shows of the layer."""
        weights = ", ".join(f"{name}={size}" for name, size in self._vectors.items())
        shots = "" if self.shots is None else f", shots={self.shots}"
        return (
            f"{self.circuit.num_qubits} qubits, inputs={self.n_inputs}, outputs={self.n_outputs}, "
            f"weights({weights}), backend={self.backend.name!r}, "
            f"diff_method={self.method!r}{shots}"
        )


def _without_autocast(module: torch.nn.Module, *tensors: torch.Tensor):
    """What the module gives where autocast is off: angles and values in half precision are none."""
    kind = tensors[0].device.type
    if not torch.is_autocast_enabled(kind):
        return module(*tensors)
    with torch.autocast(kind, enabled=False):
        return module(*tensors)


def _entropy(seed: int | None) -> int:
    """63 bits from the seed, as many as fit a torch integer."""
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0):
        raise LabError(f"seed must be None or a whole number of at least 0, got {seed!r}")
    return int(np.random.SeedSequence(seed).generate_state(1, np.uint64)[0] >> 1)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _checked_dtype(dtype: torch.dtype) -> torch.dtype:
    if dtype not in PRECISIONS:
        raise LabError(f"a quantum layer works in float32 or float64, got {_name(dtype)}")
    return dtype
