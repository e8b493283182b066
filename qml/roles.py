"""Which parameters are inputs and which are weights; shapes of the weights, and where they start."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterVector, ParameterVectorElement

from circuits import initializers
from circuits.errors import LabError, UnknownName
from circuits.observables import locality

INITIALIZERS = ("uniform", "small_angle", "gaussian")


class Parameters:
    """The parameters of a circuit and of its observables, as a circuit has its own."""

    def __init__(self, circuit: QuantumCircuit, held: Sequence[Parameter]):
        self.parameters = [*circuit.parameters, *[p for p in held if p not in set(circuit.parameters)]]


def checked_shapes(given: Mapping[str, tuple[int, ...]], sizes: Mapping[str, int]) -> dict[str, tuple[int, ...]]:
    """The shape of each weight vector's parameter: as given, or one axis."""
    shapes = {name: (size,) for name, size in sizes.items()}
    for name, shape in given.items():
        if name not in sizes:
            raise UnknownName("weight vector", name, sizes)
        shapes[name] = (shape,) if isinstance(shape, int) else tuple(shape)
        if (size := math.prod(shapes[name])) != sizes[name]:
            raise LabError(f"weight_shapes: {name!r} has {sizes[name]} weights, shape {shapes[name]} has {size}")
    return shapes


def _flatten(given, circuit: QuantumCircuit | Parameters, what: str) -> list[Parameter]:
    """Parameters from parameters, vectors and lists of them; whole vectors may have elements the circuit lacks."""
    items = [given] if isinstance(given, Parameter | ParameterVector) else list(given)
    flat: list[Parameter] = []
    known = set(circuit.parameters)
    for item in items:
        vector = getattr(item, "vector", item)
        if isinstance(vector, ParameterVector) and known.isdisjoint(vector):
            raise LabError(f"{what} vector {vector.name!r} is not in the circuit, which may have another one of that name")
        if isinstance(item, ParameterVector):
            flat.extend(item)
        elif item in known or isinstance(item, ParameterVectorElement):
            flat.append(item)
        else:
            raise LabError(f"{what} parameter {getattr(item, 'name', item)!r} is not in the circuit")
    if len(set(flat)) < len(flat):
        twice = next(parameter for parameter in flat if flat.count(parameter) > 1)
        raise LabError(f"{what} parameter {twice.name!r} is named twice: name it once")
    return flat


def _vector_name(parameter: Parameter) -> str:
    return parameter.vector.name if isinstance(parameter, ParameterVectorElement) else parameter.name


def _whole_vectors(circuit: QuantumCircuit | Parameters) -> list[Parameter]:
    """The circuit's parameters in its order, with the elements of their vectors that no gate uses."""
    found: dict[Parameter, None] = {}
    seen: dict[str, ParameterVector | Parameter] = {}
    for parameter in circuit.parameters:
        if not isinstance(parameter, ParameterVectorElement):
            if seen.setdefault(parameter.name, parameter) is not parameter:
                raise LabError(f"two parameters of circuit and observables are called {parameter.name!r}: rename one")
            found[parameter] = None
        elif parameter.vector.name not in seen:
            seen[parameter.vector.name] = parameter.vector
            found.update(dict.fromkeys(parameter.vector))
        elif parameter not in found:
            raise LabError(f"two vectors of circuit and observables are called {parameter.vector.name!r}: rename one")
    return list(found)


def roles(circuit: QuantumCircuit | Parameters, inputs, weights) -> tuple[list[Parameter], dict[str, list[Parameter]]]:
    """The input parameters, and the weights by vector: by name unless given."""
    everything = _whole_vectors(circuit)
    chosen_inputs = None if inputs is None else _flatten(inputs, circuit, "input")
    chosen_weights = None if weights is None else _flatten(weights, circuit, "weight")

    def others(candidates: list[Parameter], chosen: list[Parameter]) -> list[Parameter]:
        """Without the chosen ones, and without what the circuit lacks of their vectors."""
        names, present = {_vector_name(p) for p in chosen}, set(circuit.parameters)
        return [p for p in candidates if p not in set(chosen) and (p in present or _vector_name(p) not in names)]

    if chosen_inputs is None:
        by_name = [p for p in everything if _vector_name(p) == "x"] if chosen_weights is None else everything
        chosen_inputs = others(by_name, chosen_weights or [])
    if chosen_weights is None:
        chosen_weights = others(everything, chosen_inputs)
    unclear = set(circuit.parameters) - (set(chosen_inputs) ^ set(chosen_weights))
    if unclear:
        name = min(parameter.name for parameter in unclear)
        raise LabError(f"parameter {name!r} must be either an input or a weight: name it in exactly one of them")
    vectors: dict[str, list[Parameter]] = {}
    for parameter in chosen_weights:
        vectors.setdefault(_vector_name(parameter), []).append(parameter)
    return chosen_inputs, vectors


def initial_weights(
    init, vectors: Mapping[str, int], entropy: int, circuit: QuantumCircuit, observables: Sequence
) -> dict[str, np.ndarray]:
    """One array per vector, by name of an initialiser or as given."""
    out = {}
    if not isinstance(init, str | Mapping) and len(vectors) != 1:
        raise LabError(f"init as one array needs a circuit with one weight vector, this one has {len(vectors)}")
    for name in init if isinstance(init, Mapping) else ():
        if name not in vectors:
            raise UnknownName("weight vector", name, vectors)
    for index, (name, size) in enumerate(vectors.items()):
        own = init.get(name, "uniform") if isinstance(init, Mapping) else init
        seed = np.random.SeedSequence(entropy, spawn_key=(0, index))
        if isinstance(own, str):
            out[name] = _drawn(own, size, seed, circuit, observables)
            continue
        values = np.asarray(own, dtype=float).ravel()
        if values.size != size or not np.isfinite(values).all():
            got = f"got shape {tuple(np.shape(own))}" if values.size != size else "some are NaN or infinite"
            raise LabError(f"init for {name!r} must be {size} finite numbers, {got}")
        out[name] = values
    return out


def _drawn(name: str, size: int, seed, circuit: QuantumCircuit, observables: Sequence) -> np.ndarray:
    if name not in INITIALIZERS:
        raise UnknownName("initializer", name, INITIALIZERS)
    if name == "gaussian":
        # The paper's circuit has two rotations per qubit and layer, which tells the number of layers from the size.
        layers = max(1, math.ceil(size / (2 * circuit.num_qubits)))
        return initializers.gaussian(size, seed, layers, locality(observables))
    return getattr(initializers, name)(size, seed)
