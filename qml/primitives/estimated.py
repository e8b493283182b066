"""Expectation values by a V2 estimator that is not exact: it groups, measures and, where it can, mitigates by itself."""

import numpy as np

from qml.measurement import grouped


class Estimated:
    """What `Measured` is to a sampler: values and errors of a compiled circuit's observables, from an estimator.

    Attributes:
        n_groups: measurement bases that terms which commute qubit by qubit need; an estimator may take others.
    """

    def __init__(self, compiled):
        self._compiled = compiled
        labels = {label for o in compiled.observables for label in o.paulis.to_labels() if set(label) != {"I"}}
        self.n_groups = len(grouped([(label, 1.0, 0) for label in sorted(labels)]))

    def estimate(self, inputs, weights, shots: int, seed: np.random.SeedSequence) -> tuple[np.ndarray, np.ndarray]:
        """(B, K) values and standard errors at the precision 1 / sqrt(shots); the estimator has a seed of its own."""
        with self._compiled._entered(inputs, weights, shots=shots * self.n_groups, prepared=self.n_groups):
            values, errors = self._compiled.estimated(inputs, weights, shots**-0.5)
        norms = self._compiled.squared_norms(inputs, weights)
        return (norms * values).astype(weights.dtype), (norms * errors).astype(weights.dtype)
