"""What we found: one question per file, each with its control, its figure and its verdict in words.

Names are loaded when they are first used, so that `studies --help` answers at once.
"""

import importlib

_HOME = {"gradient_variance": "studies.landscape"}
__all__ = [*_HOME]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'studies' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
