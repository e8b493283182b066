"""Expectation values by the native engine, as a Qiskit `EstimatorV2`: a drop-in for `StatevectorEstimator`."""

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np
from qiskit.primitives import BaseEstimatorV2, DataBin, PrimitiveResult, PubResult
from qiskit.primitives.containers import EstimatorPubLike
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import SparseObservable, SparsePauliOp

from circuits.observables import as_list
from qml.primitives.compiled import compiled
from qml.primitives.job import NativeJob

WASTE = 4  # as many values may be computed as are asked for, times this, rather than in several runs


class NativeEstimator(BaseEstimatorV2):
    """Exact values of every observable at every set of parameter values, one engine batch for each circuit.

    Pubs, shapes, results, metadata and the random stream are those of Qiskit's `StatevectorEstimator`: with a precision
    above zero, normal noise of that width is added, from a generator that each pub starts anew with the seed. Pubs of one
    call that share their circuit object and parameter values are run together. Unlike there, a reset in the middle of a
    circuit gives the mean over its outcomes, not one of them.

    Args:
        default_precision: of a pub that names none; 0 is exact.
        seed: an integer or a NumPy generator.

    Raises:
        LabError: from `result()`: what is wrong with circuit, observable or values, in one line.
        TooLarge: the states do not fit the memory.

    Example:
        NativeEstimator().run([(circuit, ["ZZ", "XX"], values)]).result()[0].data.evs
    """

    def __init__(self, *, default_precision: float = 0.0, seed: np.random.Generator | int | None = None):
        self._default_precision, self._seed = default_precision, seed

    @property
    def default_precision(self) -> float:
        """Of a pub that names none."""
        return self._default_precision

    @property
    def seed(self) -> np.random.Generator | int | None:
        """As it was given."""
        return self._seed

    def run(self, pubs: Iterable[EstimatorPubLike], *, precision: float | None = None) -> NativeJob:
        """A job that gives one result for each pub: (circuit, observables, parameter values, precision)."""
        precision = self._default_precision if precision is None else precision
        coerced = [EstimatorPub.coerce(pub, precision) for pub in pubs]
        return NativeJob(lambda: self._run(coerced))

    def _run(self, pubs: list[EstimatorPub]) -> PrimitiveResult[PubResult]:
        together: dict[tuple, list[int]] = defaultdict(list)
        rows = [rows_of(pub) for pub in pubs]
        for place, pub in enumerate(pubs):
            together[id(pub.circuit), len(rows[place]), rows[place].tobytes()].append(place)
        values: dict[int, np.ndarray] = {}
        for places in together.values():
            found = self._exact([pubs[place] for place in places], rows[places[0]])
            values.update(zip(places, found))
        results = [self._result(pub, values[place]) for place, pub in enumerate(pubs)]
        return PrimitiveResult(results, metadata={"version": 2})

    def _exact(self, pubs: list[EstimatorPub], rows: np.ndarray) -> list[np.ndarray]:
        """Each pub's values, in its shape; all have one circuit and the same rows."""
        number: dict[tuple, int] = {}  # of each distinct observable
        asked = []  # by pub: (row, observable) of every value
        for pub in pubs:
            own = np.empty(pub.observables.shape, np.int64)
            for place, terms in np.ndenumerate(pub.observables.ravel()):
                own.ravel()[place] = number.setdefault(tuple(sorted(terms.items())), len(number))
            row = np.arange(len(rows)).reshape(pub.parameter_values.shape)
            asked.append([np.broadcast_to(a, pub.shape).ravel() for a in (row, own)])
        operators = as_list([_operator(dict(terms)) for terms in number], pubs[0].circuit.num_qubits) if number else []
        table = self._table(pubs[0], rows, operators, *(np.concatenate(part) for part in zip(*asked)))
        return [table[row, column].reshape(pub.shape) for pub, (row, column) in zip(pubs, asked)]

    def _table(self, pub: EstimatorPub, rows: np.ndarray, operators: list[SparsePauliOp], row, column) -> np.ndarray:
        """(rows, observables) values, at least those at the places (row, column)."""
        table = np.full((len(rows), len(operators)), np.nan)
        if not table.size or not len(row):
            return table
        wanted = np.zeros(table.shape, bool)
        wanted[row, column] = True
        if table.size <= WASTE * wanted.sum():
            return compiled(pub.circuit, operators).values(rows)
        alike, group = np.unique(wanted, axis=0, return_inverse=True)
        for which, columns in enumerate(alike):
            own = np.flatnonzero(group.ravel() == which)
            found = compiled(pub.circuit, [operators[k] for k in np.flatnonzero(columns)])
            table[np.ix_(own, columns)] = found.values(rows[own])
        return table

    def _result(self, pub: EstimatorPub, values: np.ndarray) -> PubResult:
        if pub.precision != 0:
            values = np.asarray(np.random.default_rng(self._seed).normal(values, pub.precision))
        data = DataBin(evs=values, stds=np.zeros_like(values), shape=values.shape)
        return PubResult(data, {"target_precision": pub.precision, "circuit_metadata": pub.circuit.metadata})


def rows_of(pub) -> np.ndarray:
    """(B, n_parameters): the values of a pub's parameters, in the order of the circuit's."""
    values = pub.parameter_values.as_array(pub.circuit.parameters)
    return values.reshape(pub.parameter_values.size, pub.circuit.num_parameters)


def _operator(terms: Mapping[str, float]) -> SparsePauliOp:
    """The sum, projectors on eigenstates (letters 0, 1, +, -, r, l) written out in Pauli strings."""
    labels = [*terms]
    if set("".join(labels)) <= set("IXYZ"):
        return SparsePauliOp(labels, [*terms.values()])
    return SparsePauliOp.from_sparse_observable(SparseObservable.from_list([*terms.items()]))
