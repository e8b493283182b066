"""What a circuit is: encodings, ansatze, observables and initialisers, as Qiskit circuits and NumPy arrays."""

import importlib

_ROOMS = ("ansatze", "encodings", "initializers", "observables", "program")


def __getattr__(name: str):
    if name in _ROOMS:
        return importlib.import_module(f"circuits.{name}")
    raise AttributeError(f"module 'circuits' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_ROOMS])
