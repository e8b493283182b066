"""The variance of a string's expectation value at any depth, exactly, without a state vector."""

import numpy as np

from studies.lie.prediction import expectations, zero_state
from studies.lie.strings import Strings, reached


def variance_at_depth(layer: Strings, observable: Strings, n_layers: int, bloch: np.ndarray | None = None) -> float:
    """Of one string over uniform independent angles, in `n_layers` times the same rotations.

    A rotation by a uniform angle leaves a string that anticommutes with its generator in half of the cases and turns it
    into the product in the others, so chances are followed back through the circuit. The mean value is zero.

    Args:
        layer: generators of a layer's rotations, in the order in which they act.
        observable: one string; one that commutes with all generators has variance 0.
        bloch: as for `loss_variance`.

    Cost: n_layers len(layer) passes over the strings that the observable reaches.
    """
    strings = reached(observable, layer)
    if len(strings) == 1:
        return 0.0
    turns = []
    for number in reversed(range(len(layer))):
        generator = layer[number : number + 1]
        turned = np.flatnonzero(strings.anticommute(generator))
        turns.append((turned, strings.find(strings[turned].times(generator))))
    chances = np.zeros(len(strings))
    chances[strings.find(observable)] = 1.0
    for _ in range(n_layers):
        for turned, partners in turns:
            chances[turned] = (chances[turned] + chances[partners]) / 2
    ends = expectations(strings, zero_state(layer.n_qubits) if bloch is None else bloch)
    return float(chances @ ends**2)
