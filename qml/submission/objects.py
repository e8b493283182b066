"""Backends, devices and noise given as objects: what tells one from another, and what can be said of one.

An object may hold anything, so a result that it gave answers for that object alone, in its own process (`token`). Whoever
takes a submission up again under its tag has to make the object anew: it must be alike as far as can be seen (`told`).
"""

import secrets
import weakref
from collections.abc import Mapping
from typing import Any

from qml.noise import described
from qml.submission.owners import this_process

_WORDS: dict[int, tuple[weakref.ref, str]] = {}


def token(thing: Any) -> list:
    """What no other object has, in this process or another; of one that cannot be watched, another each time."""
    number = id(thing)
    kept = _WORDS.get(number)
    if kept is None or kept[0]() is not thing:  # another object may have been given the number of one that is gone
        try:
            kept = weakref.ref(thing, lambda _: _WORDS.pop(number, None)), secrets.token_hex(12)
        except TypeError:
            return [this_process(), secrets.token_hex(12)]
        _WORDS[number] = kept
    return [this_process(), kept[1]]


def told(thing: Any) -> list:
    """Its class and, where it has them, its name, its options and its noise; objects that differ in more look alike.

    Of a noise model its errors and its basis are told.
    """
    kind, options = type(thing), getattr(thing, "options", None)
    return [
        f"{kind.__module__}.{kind.__qualname__}",
        called(thing),
        {str(key): _plain(value) for key, value in options.items()} if isinstance(options, Mapping) else None,
        _plain(thing if hasattr(thing, "noise_instructions") else getattr(thing, "noise", None)),
    ]


def called(thing: Any) -> str:
    """Its name, where it has one, else its class."""
    name = getattr(thing, "name", None)
    return name if isinstance(name, str) else type(thing).__qualname__


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if hasattr(value, "noise_instructions"):
        return described(value)
    return called(value)
