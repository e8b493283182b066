"""Adjoint gradients for qiskit-machine-learning: the whole of a batch in one sweep of the native engine."""

import importlib.util
from collections import defaultdict

import numpy as np

from circuits.errors import LabError, Unsupported

if importlib.util.find_spec("qiskit_machine_learning") is None:
    raise LabError(
        "NativeEstimatorGradient needs qiskit-machine-learning, which is not installed: "
        "pip install 'hybrid-qml-lab[qiskit-ml]'"
    )

from qiskit.circuit import QuantumCircuit
from qiskit.primitives import BaseEstimatorV2
from qiskit.providers import Options
from qiskit_machine_learning.gradients import BaseEstimatorGradient, DerivativeType, EstimatorGradientResult

from circuits.observables import as_list
from qml.primitives.compiled import compiled
from qml.primitives.estimator import NativeEstimator


class NativeEstimatorGradient(BaseEstimatorGradient):
    """Exact derivatives of expectation values by a circuit's parameters, whatever its gates and expressions.

    What is asked for at once on one circuit object, as `EstimatorQNN` does for a batch of samples and all observables, is
    one batch of the engine: a forward and a backward sweep for each pair of sample and observable, and no shifted circuit.

    Args:
        estimator: kept for the interface, not called; None is a `NativeEstimator`.
        options: kept for the interface.
        derivative_type: REAL, the derivative of the expectation value.
        pass_manager: not needed, since the derivative is that of the circuit as it is.

    Raises:
        Unsupported: another derivative type.

    Example:
        EstimatorQNN(circuit=circuit, estimator=NativeEstimator(), gradient=NativeEstimatorGradient(), ...)
    """

    def __init__(
        self,
        estimator: BaseEstimatorV2 | None = None,
        options: Options | None = None,
        derivative_type: DerivativeType = DerivativeType.REAL,
        pass_manager=None,
    ):
        if derivative_type is not DerivativeType.REAL:
            raise Unsupported(
                f"NativeEstimatorGradient gives derivatives of type REAL, got {derivative_type}: use "
                "qiskit_machine_learning's LinCombEstimatorGradient with a NativeEstimator"
            )
        super().__init__(estimator or NativeEstimator(), options, derivative_type, pass_manager)

    def _run(self, circuits, observables, parameter_values, parameters, **options) -> EstimatorGradientResult:
        rows = [np.asarray(values, dtype=float) for values in parameter_values]
        together: dict[int, list[int]] = defaultdict(list)
        for place, circuit in enumerate(circuits):
            together[id(circuit)].append(place)
        gradients: dict[int, np.ndarray] = {}
        for places in together.values():
            circuit = circuits[places[0]]
            found = self._of_circuit(circuit, [observables[p] for p in places], np.stack([rows[p] for p in places]))
            column = {parameter: j for j, parameter in enumerate(circuit.parameters)}
            for place, gradient in zip(places, found):
                gradients[place] = gradient[[column[parameter] for parameter in parameters[place]]]
        return EstimatorGradientResult(
            gradients=[gradients[place] for place in range(len(circuits))],
            metadata=[{"parameters": chosen} for chosen in parameters],
            options=Options(**options),
        )

    def _of_circuit(self, circuit: QuantumCircuit, observables: list, rows: np.ndarray) -> np.ndarray:
        """(B, n_parameters): row b is the gradient of observable b at row b."""
        number: dict[int, int] = {}  # of each distinct observable, alike objects being one
        own = [number.setdefault(id(observable), len(number)) for observable in observables]
        distinct = as_list([observables[own.index(k)] for k in range(len(number))], circuit.num_qubits)
        cotangents = np.zeros((len(rows), len(distinct)))
        cotangents[np.arange(len(rows)), own] = 1.0
        return compiled(circuit, distinct).gradients(rows, cotangents)
