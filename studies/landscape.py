"""How flat the landscape of a circuit is: the variance of its loss and of every gradient component, by two roads."""

import math
from dataclasses import dataclass

import numpy as np

from circuits.errors import LabError, UnknownName, Unsupported
from studies.statistics import FEWEST_SAMPLES, Variance, normal_quantile, rounding_floor, variance

METHODS = ("state_vector", "pauli_walk")
BATCH = 128
MOST_SAMPLES = 100_000  # of state vectors, on the way to a wanted error
MOST_WALKS = 1 << 26
NOT_MEASURED = 0.5  # a relative standard error above which a variance is a hint and no measurement


@dataclass(frozen=True)
class GradientVariance:
    """Variances with intervals, over draws of all parameters.

    Attributes:
        parameters: names, in the order of `gradient`'s arrays.
        gradient: of the derivative by each parameter; arrays of shape (n_parameters,).
        loss: of the expectation value itself; arrays of shape ().
        floor: what rounding alone would show as a variance of a derivative.
        method: "state_vector" or "pauli_walk".
    """

    parameters: tuple[str, ...]
    gradient: Variance
    loss: Variance
    floor: float
    method: str

    @property
    def measured(self) -> np.ndarray:
        """(n_parameters,): which variances stand clear of the floor and have an interval worth the name."""
        value, error = self.gradient.value, self.gradient.log_error
        return (value > 10 * self.floor) & (error < NOT_MEASURED)

    def __repr__(self) -> str:
        measured, samples = self.gradient.value[self.measured], self.gradient.samples
        found = f"median {np.median(measured):.3g}, largest {measured.max():.3g}, " if len(measured) else ""
        return (
            f"GradientVariance(loss {float(self.loss.value):.3g}, {len(measured)} of "
            f"{len(self.parameters)} components measured: {found}{f'{samples:,} samples' if samples else 'exact'})"
        )


def gradient_variance(
    circuit,
    observable,
    n_samples: int | None = None,
    seed: int = 0,
    distribution: str = "uniform",
    backend="native",
    level: float = 0.95,
    *,
    method: str = "state_vector",
    width: float | None = None,
    relative_error: float | None = None,
    random_axes: bool = False,
    noise: float | tuple[float, float, float] = 1.0,
) -> "GradientVariance | list[GradientVariance]":
    """The variance of every gradient component and of the loss over random parameters, with intervals.

    Two roads to the same numbers. "state_vector" differentiates the circuit at random parameters; it takes any circuit of
    as many qubits as fit. "pauli_walk" needs no state: it takes circuits of Pauli rotations, each by a parameter of its
    own, and Clifford gates, at 1,000 qubits and more where the observable's light cone is shallow; where few Pauli strings
    are met it is exact.

    Args:
        circuit: a Qiskit circuit without measurements; all its parameters are drawn, those called `x` too.
        observable: a Pauli label, a sum of them, or a `SparsePauliOp`; a list of these gives a list. State vectors then run
            the circuit once for all of them, at the same draws.
        n_samples: draws of all parameters, or walks for each Pauli string, at most; None: 1,000 draws, or as many as
            `relative_error` needs.
        seed: of the draws; sample k is the same whatever `n_samples` is.
        distribution: "uniform" on the circle; "small_angle", uniform within `width` (0.1) of 0; "gaussian" about 0 with
            standard deviation `width`, by default that of `initializers.gaussian`; "beta", symmetric about 0 within `width`
            (pi).
        backend: of state vectors, as for `QuantumLayer`.
        level: of confidence, for each component on its own.
        relative_error: sampling goes on until the median component's relative standard error is this small.
        random_axes: each rotation of one qubit turns about X, Y or Z, drawn anew for each sample (McClean's circuit).
        noise: of walks only: after every gate, on each of its qubits, a channel multiplies X, Y and Z by this number, or
            by these three.

    Raises:
        LabError: no parameters, too few samples, no qiskit circuit.
        UnknownName: no such distribution or method.
        Unsupported: "pauli_walk" and a circuit it does not take, such as one with shared parameters.
        TooLarge: the state does not fit into memory.

    Cost: one forward and one backward sweep a sample, whatever the number of parameters, with K observables one forward and
        K backward sweeps; a walk costs a few bit operations for each gate in the light cone, 64 walks at a time.
    """
    _check(circuit, observable, n_samples, relative_error, method, seed)
    several = isinstance(observable, list | tuple)
    operators = [operator_of(one, circuit) for one in (observable if several else [observable])]
    laws = [angles_of(distribution, width, circuit, operator) for operator in operators]
    if method == "pauli_walk":
        settings = n_samples or MOST_WALKS, seed, level, relative_error or 0.01, random_axes, noise
        found = [_by_walks(circuit, operator, angles, *settings) for operator, angles in zip(operators, laws)]
    elif noise != 1.0:
        raise Unsupported("noise takes method='pauli_walk'; with density matrices train on backend 'aer'")
    else:
        found = _by_laws(circuit, operators, laws, n_samples, seed, level, relative_error, random_axes, backend)
    return found if several else found[0]


def _by_laws(circuit, operators: list, laws: list, *settings) -> list:
    """By state vectors: observables of unlike locality may have unlike Gaussian laws, those of one law share their draws."""
    found = {}
    for angles in dict.fromkeys(laws):
        numbers = [k for k, other in enumerate(laws) if other == angles]
        found |= zip(numbers, _by_states(circuit, [operators[k] for k in numbers], angles, *settings))
    return [found[k] for k in range(len(operators))]


def operator_of(observable, circuit):
    """One observable on the circuit's qubits as a sum of Pauli strings."""
    from circuits.observables import as_list

    operators = as_list(observable, circuit.num_qubits)
    if len(operators) != 1:
        raise LabError(f"one observable was expected, got {len(operators)}: pass them as a list")
    return operators[0]


def _by_states(circuit, operators: list, angles, n_samples, seed, level, relative_error, random_axes, backend):
    """One result for each observable; those that have reached the wanted error are not differentiated further."""
    import torch

    from qml import QuantumLayer

    drawn, sites = _with_all_axes(circuit) if random_axes else (circuit, None)
    layer = QuantumLayer(drawn, operators, [], backend=backend, dtype=torch.float64, seed=0)
    present = {parameter.name for parameter in circuit.parameters}
    names = [parameter.name for parameter in layer.weight_parameters]
    used = [j for j, name in enumerate(names) if name in present]
    batches, open_, done = {k: [] for k in range(len(operators))}, list(range(len(operators))), 0
    limit = n_samples or (MOST_SAMPLES if relative_error else 1000)
    while done < limit and open_:
        samples = range(done, min(done + BATCH, limit))
        for k, batch in _batch(layer, open_, samples, angles, seed, sites, names):
            batches[k].append(batch)
        done = samples.stop
        if relative_error and done >= 2 * BATCH and done.bit_count() <= 2:  # looked at seldom: stopping early is a bias
            open_ = [k for k in open_ if not _is_precise(_columns(batches[k], used), relative_error)]
    parameters = tuple(names[j] for j in used)
    found = []
    for operator, rows in zip(operators, batches.values()):
        floor = _floor(len(layer._program.gates), operator)
        losses, columns = np.concatenate([values for values, _ in rows]), _columns(rows, used)
        found.append(GradientVariance(parameters, variance(columns, level), variance(losses, level), floor, "state_vector"))
    return found


def _floor(n_gates: int, operator) -> float:
    """What rounding gives a variance: that of a string, by the square of what all strings together are at most."""
    return rounding_floor("float64", n_gates) * float(np.abs(operator.coeffs).sum()) ** 2


def _columns(batches: list, used: list[int]) -> np.ndarray:
    """(n, samples) derivatives by each parameter."""
    return np.concatenate([slopes for _, slopes in batches]).T[used]


def _is_precise(columns: np.ndarray, relative_error: float) -> bool:
    errors = variance(columns).log_error
    return not errors.any() or bool(np.median(errors[errors > 0]) <= relative_error)


def _batch(layer, wanted: list[int], samples: range, angles, seed: int, sites: dict | None, names: list[str]):
    """The number, the values (B,) and the derivatives (B, n) of each wanted observable at the samples' parameters."""
    import torch

    keys = [np.random.SeedSequence(seed, spawn_key=(sample,)) for sample in samples]
    draws = np.stack([angles.draw(len(names), key) for key in keys])
    if sites is None:
        place = None
    else:
        draws, place = _on_axes(draws, keys, sites, names)
    weights = torch.from_numpy(draws).requires_grad_()
    values = layer.evaluate(None, weights)
    for k in wanted:
        (slopes,) = torch.autograd.grad(values[:, k].sum(), weights, retain_graph=True)
        slopes = slopes.numpy()
        yield k, (values.detach().numpy()[:, k], slopes if place is None else np.take_along_axis(slopes, place, axis=1))


def _with_all_axes(circuit):
    """The circuit with RX, RY and RZ at every rotation of one qubit, two more parameters each; their names by site."""
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    out, sites = QuantumCircuit(*circuit.qregs), {}
    held = [parameter for item in circuit.data for angle in item.operation.params for parameter in _parameters(angle)]
    if several := sorted({parameter.name for parameter in held if held.count(parameter) > 1}):
        raise Unsupported(f"random axes need a parameter of its own for every rotation, {several[0]!r} has several")
    for item in circuit.data:
        gate = item.operation
        if gate.name in ("rxx", "ryy", "rzz", "rzx") or not any(map(_parameters, gate.params)):
            out.append(gate, item.qubits)
            continue
        parameter = gate.params[0]
        if gate.name not in ("rx", "ry", "rz") or not isinstance(parameter, Parameter):
            raise Unsupported(
                f"random axes are those of rx, ry and rz by a bare parameter, got {gate.name}({gate.params[0]}): write "
                "the circuit with these, or leave random_axes=False"
            )
        others = [Parameter(f"{parameter.name} about {axis}") for axis in "YZ"]
        sites[parameter.name] = (parameter.name, *(other.name for other in others))
        for kind, angle in zip(("rx", "ry", "rz"), (gate.params[0], *others)):
            getattr(out, kind)(angle, *item.qubits)
    return out, sites


def _parameters(angle) -> set:
    return set(getattr(angle, "parameters", ()))


def _on_axes(draws: np.ndarray, keys: list, sites: dict, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Each site's angle moved to the axis drawn for it, the others zero; and where each parameter's angle went."""
    column = {name: j for j, name in enumerate(names)}
    place = np.tile(np.arange(len(names)), (len(draws), 1))
    table = np.array([[column[name] for name in site] for site in sites.values()])
    for row, key in enumerate(keys if sites else ()):
        axes = np.random.default_rng(key.spawn(1)[0]).integers(0, 3, len(table))
        chosen = table[np.arange(len(table)), axes]
        own = draws[row, table[:, 0]]
        draws[row, table] = 0.0
        draws[row, chosen] = own
        place[row, table[:, 0]] = chosen
    return draws, place


def _by_walks(circuit, operator, angles, most_walks, seed, level, relative_error, random_axes, noise):
    from circuits.lowering import lower
    from studies.walk.estimate import check, walk_variances
    from studies.walk.table import table_of

    check(relative_error, most_walks)
    if noise != 1.0:
        _check_gates(circuit)
    table = table_of(lower(circuit), random_axes, noise)
    found = walk_variances(table, operator, angles, seed, relative_error, most_walks, exact=True)
    n = max(found.n_walks, 1)
    # No hit in N walks leaves room for 3 / N, by the rule of three.
    unseen = 3 * found.weight / n
    loss_unseen = 3 * found.loss_weight / n if found.loss == 0 and found.loss_error == 0 else 0.0
    return GradientVariance(
        tuple(parameter.name for parameter in circuit.parameters),
        _interval(found.gradient, found.errors, unseen, level, found.n_walks),
        _interval(np.array(found.loss), np.array(found.loss_error), np.array(loss_unseen), level, found.n_walks),
        _floor(len(table.steps), operator), "pauli_walk",
    )  # fmt: skip


def _check_gates(circuit) -> None:
    """Raise `Unsupported` where "after every gate" is not said for one: such as u, which is three rotations."""
    from qiskit import QuantumCircuit

    from circuits.lowering import lower

    for gate in {item.operation.name: item.operation for item in circuit.data}.values():
        alone = QuantumCircuit(gate.num_qubits)
        alone.append(gate, range(gate.num_qubits))
        if (count := len(lower(alone).gates)) > 1:
            raise Unsupported(
                f"noise acts after every gate, and {gate.name} is {count} of them here: write the circuit with the gates "
                "that the noise is to follow"
            )


def _interval(value: np.ndarray, error: np.ndarray, unseen: np.ndarray, level: float, samples: int) -> Variance:
    """A variance with a standard error as one with an interval, symmetric in the logarithm.

    Args:
        unseen: what walks of kinds that were not met may add.

    An estimate below zero is called zero, with room up to where it may be for its error.
    """
    above = value + normal_quantile(level) * error
    value = np.maximum(value, 0.0)
    relative = np.divide(error, value, out=np.where(error > 0, np.inf, 0.0), where=value > 0)
    reach = np.exp(np.minimum(normal_quantile(level) * relative, 700))
    high = np.maximum(value * reach, above) + unseen
    return Variance(value, value / reach, high, relative, np.full_like(value, np.nan), samples)


def angles_of(distribution: str, width: float | None, circuit, operator):
    """The law of the angles by name; a width of None is the law's own, for Gaussian angles that of the circuit's depth."""
    from studies.walk.distributions import NAMES, Angles

    if distribution not in NAMES:
        raise UnknownName("distribution", distribution, NAMES)
    if width is None and distribution == "gaussian":
        width = _gaussian_width(circuit, operator)
    if width is None:
        width = {"small_angle": 0.1}.get(distribution, math.pi)
    return Angles(distribution, width)


def _gaussian_width(circuit, operator) -> float:
    """That of `initializers.gaussian`, at the number of layers that two rotations a qubit would make."""
    from circuits.observables import locality

    layers = max(1, math.ceil(len(circuit.parameters) / (2 * circuit.num_qubits)))
    return 1 / math.sqrt(4 * locality([operator]) * (layers + 2))


def _check(circuit, observable, n_samples, relative_error, method: str, seed) -> None:
    if method not in METHODS:
        raise UnknownName("method", method, METHODS)
    from qiskit import QuantumCircuit

    if not isinstance(circuit, QuantumCircuit):
        raise LabError(
            f"circuit must be a qiskit QuantumCircuit, got {type(circuit).__name__} {str(circuit)[:40]!r}: build one with "
            "circuits.ansatze, or read a file with `qiskit.qasm3.load` or `studies run barren_plateaus --circuit FILE`"
        )
    if isinstance(observable, list | tuple) and not observable:
        raise LabError("observable is an empty list: pass a Pauli label such as 'ZZ', a SparsePauliOp, or a list of them")
    is_whole = isinstance(n_samples, int) and not isinstance(n_samples, bool)
    if n_samples is not None and not (is_whole and n_samples >= FEWEST_SAMPLES):
        raise LabError(f"n_samples must be a whole number of at least {FEWEST_SAMPLES}, got {n_samples!r}")
    if relative_error is not None and not (isinstance(relative_error, int | float) and 0 < relative_error < 1):
        raise LabError(f"relative_error must lie between 0 and 1, got {relative_error!r}: 0.01 is one per cent")
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise LabError(f"seed must be a whole number of at least 0, got {seed!r}")
    if not getattr(circuit, "parameters", None):
        raise LabError("the circuit has no free parameters: there is no gradient to measure")
