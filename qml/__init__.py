"""How a circuit runs, is differentiated and learns: backends, gradients, a PyTorch layer, a classifier, jobs.

Names are loaded when they are first used, so that `qml --help` answers at once.
"""

import importlib

_HOME = {
    "QuantumLayer": "qml.layer",
    "metric_tensor": "qml.metric",
    "ledger": "qml.costs",
    "plan": "qml.planning",
    "HybridClassifier": "qml.models",
    "NaturalGradient": "qml.natural_gradient",
    "PlateauWatch": "qml.plateau",
    "submit": "qml.jobs",
    "retrieve_job": "qml.jobs",
    "doctor": "qml.diagnosis",
    "NativeEstimator": "qml.primitives.estimator",
    "NativeSampler": "qml.primitives.sampler",
    "NativeEstimatorGradient": "qml.primitives.gradient",
}
__all__ = [*_HOME]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'qml' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
