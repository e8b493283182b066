"""Noise for Aer: from one number, from a file, or as a device of Qiskit's has it."""

import difflib
import json
import warnings
from pathlib import Path
from typing import Any

from circuits.errors import LabError

ONE_QUBIT_GATES = (
    *("id", "x", "y", "z", "h", "s", "sdg", "sx", "sxdg", "t", "tdg", "p", "r", "rx", "ry", "rz"),
    *("u", "u1", "u2", "u3"),
)
TWO_QUBIT_GATES = (
    *("cx", "cy", "cz", "csx", "cp", "crx", "cry", "crz", "cu", "cu1", "cu3", "swap", "ecr"),
    *("rxx", "ryy", "rzz", "rzx"),
)
GENERIC = "GenericBackendV2"
_WRITTEN = "write it with json.dump(qml.noise.as_dict(model), file)"
_MISSING = "noise needs qiskit-aer: pip install 'hybrid-qml-lab[aer]'"


def as_model(noise: Any) -> Any:
    """What backend "aer" takes as noise: a `NoiseModel`, a Qiskit backend with a device's noise, or None for none.

    Args:
        noise: None; a probability; a model or its `as_dict`; a Qiskit backend, or a device's name (`device`).

    Raises:
        LabError: anything else, or what it needs is not installed.
    """
    if noise is None or hasattr(noise, "to_dict") or hasattr(noise, "target"):
        return noise
    if isinstance(noise, dict):
        return from_dict(noise, "the noise model")
    if isinstance(noise, str):
        return device(noise)
    if isinstance(noise, int | float) and not isinstance(noise, bool):
        return depolarizing(noise)
    raise LabError(f"noise is a probability or a qiskit_aer.noise.NoiseModel, or a device's name, got {noise!r}")


def read(text: str) -> float | dict | str:
    """What a command line's word for noise means: a probability, the model in a file, or a device's name."""
    try:
        return float(text)
    except ValueError:
        pass
    path = Path(text).expanduser()
    if not path.is_file():
        device(text)
        return text
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise LabError(f"{text} is no noise model ({error}): {_WRITTEN}") from None
    from_dict(content, text)
    return content


def is_plain(noise: Any) -> bool:
    """Whether it is a `NoiseModel` that `as_dict` can write: one with passes of its own, as devices have, cannot be."""
    return hasattr(noise, "to_dict") and not getattr(noise, "_custom_noise_passes", None)


def as_dict(model: Any) -> dict:
    """A `NoiseModel` as JSON holds it: equal models give equal dicts.

    Beside what the model's own `to_dict` has, the gates of its basis, into which Aer decomposes all others.

    Raises:
        LabError: the model has passes of its own, such as relaxation during delays.
    """
    if not is_plain(model):
        raise LabError("a noise model with passes of its own (a device's) cannot be written: give the device or its name")
    return described(model)


def described(model: Any) -> dict:
    """Errors and basis of a `NoiseModel`, alike for equal ones; passes of its own are left out."""
    # Each error has a number that is drawn anew for every model.
    errors = [{**error, "id": None} for error in model.to_dict(serializable=True)["errors"]]
    return {"errors": errors, "basis_gates": model.basis_gates}


def from_dict(content: Any, name: str) -> Any:
    """The `NoiseModel` that `as_dict` wrote, or its own `to_dict`, which forgets the basis; messages call it `name`."""
    try:
        from qiskit_aer.noise import NoiseModel
    except ImportError:
        raise LabError(_MISSING) from None
    try:
        if not isinstance(content, dict) or not isinstance(content.get("errors"), list):
            raise ValueError("it has no list of errors")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # its successor reads pickles
            model = NoiseModel.from_dict(content)
        if "basis_gates" in content:
            model._basis_gates = set(NoiseModel(basis_gates=content["basis_gates"]).basis_gates)  # which can only grow
        return model
    except Exception as error:
        said = " ".join(str(error).split())[:120]
        raise LabError(f"{name} is no noise model ({said}): {_WRITTEN}") from None


def device(name: str) -> Any:
    """The Qiskit backend of that name, whose errors, gates and coupling a simulation takes over.

    Args:
        name: "GenericBackendV2:5" for Qiskit's made-up device of 5 qubits (fixed seed), or a fake device of
            qiskit-ibm-runtime such as "FakeManilaV2".

    Raises:
        LabError: no such device, or qiskit-ibm-runtime is not installed.
    """
    kind, _, size = name.partition(":")
    if kind == GENERIC:
        from qiskit.providers.fake_provider import GenericBackendV2

        if not size.isdecimal() or not 1 <= int(size) <= 200:
            raise LabError(f"a generic device is named with its number of qubits, got {name!r}: write {GENERIC}:5")
        return GenericBackendV2(int(size), seed=0)
    is_nothing = f"noise {name!r} is no probability, no file and not {GENERIC}:N"
    try:
        from qiskit_ibm_runtime import fake_provider
    except ImportError:
        raise LabError(f"{is_nothing}; fake devices need qiskit-ibm-runtime: pip install qiskit-ibm-runtime") from None
    names = [word for word in dir(fake_provider) if word.startswith("Fake") and "Provider" not in word]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3, cutoff=0.0)
        raise LabError(f"{is_nothing}, nor a fake device: the nearest are {', '.join(near)}")
    return getattr(fake_provider, name)()


def depolarizing(probability: float) -> Any:
    """A `qiskit_aer.noise.NoiseModel` that depolarizes, with this probability, each gate's qubits after it.

    Gates of three and more qubits are first decomposed: the model's basis has gates of one and two only.

    Raises:
        LabError: the probability is not between 0 and 1, or qiskit-aer is missing.
    """
    if not 0 <= probability <= 1:
        raise LabError(f"the noise probability must be between 0 and 1, got {probability!r}")
    try:
        from qiskit_aer.noise import NoiseModel, depolarizing_error
    except ImportError:
        raise LabError(_MISSING) from None
    model = NoiseModel(basis_gates=[*ONE_QUBIT_GATES, *TWO_QUBIT_GATES])
    if probability > 0:
        model.add_all_qubit_quantum_error(depolarizing_error(probability, 1), list(ONE_QUBIT_GATES))
        model.add_all_qubit_quantum_error(depolarizing_error(probability, 2), list(TWO_QUBIT_GATES))
    return model
