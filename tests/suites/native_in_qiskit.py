"""A pytest plugin: Qiskit's and qiskit-machine-learning's own tests meet our primitives under their names.

How often each was called is written to the file that QML_LAB_CALLS names: a suite that never met them has shown nothing.
"""

import importlib
import json
import os
from collections import Counter

import qml

CALLS = Counter()
PLACES = {  # the suite's package: where a name is looked up -> ours that stands there
    "qiskit": {
        ("qiskit.primitives", "StatevectorEstimator"): "NativeEstimator",
        ("qiskit.primitives", "StatevectorSampler"): "NativeSampler",
        ("qiskit.primitives.statevector_sampler", "StatevectorSampler"): "NativeSampler",
    },
    "qiskit_machine_learning": {
        ("qiskit_machine_learning.primitives", "QMLEstimator"): "ExactEstimator",
        ("qiskit_machine_learning.neural_networks.estimator_qnn", "Estimator"): "ExactEstimator",
        ("qiskit_machine_learning.gradients", "ParamShiftEstimatorGradient"): "NativeEstimatorGradient",
        ("qiskit_machine_learning.gradients", "LinCombEstimatorGradient"): "NativeEstimatorGradient",
        ("qiskit_machine_learning.neural_networks.estimator_qnn", "ParamShiftEstimatorGradient"): "NativeEstimatorGradient",
    },
}


def counted(name: str) -> type:
    """Our class, every run of which is counted."""
    ours = getattr(qml, name)

    def run(self, *args, **options):
        CALLS[name] += 1
        return ours.run(self, *args, **options)

    return type(ours.__name__, (ours,), {"run": run})


def exact(estimator: type) -> type:
    """As qiskit-machine-learning's `QMLEstimator`, which ignores the precision of a run if it was made an exact one."""

    def run(self, pubs, *, precision=None):
        return estimator.run(self, pubs, precision=precision if self.default_precision else 0.0)

    return type("ExactEstimator", (estimator,), {"run": run})


def pytest_configure(config):
    """Put ours in the place of theirs before any test module is imported."""
    suite = os.environ["QML_LAB_SUITE"]
    names = ["NativeEstimator", "NativeSampler"] + ["NativeEstimatorGradient"] * (suite != "qiskit")
    ours = {name: counted(name) for name in names}
    ours["ExactEstimator"] = exact(ours["NativeEstimator"])
    for (module, attribute), name in PLACES[suite].items():
        module = importlib.import_module(module)
        assert hasattr(module, attribute), f"{module.__name__} has no {attribute}"
        setattr(module, attribute, ours[name])


def pytest_sessionfinish(session):
    """Tell the calls."""
    with open(os.environ["QML_LAB_CALLS"], "w") as file:
        json.dump(CALLS, file)
