"""Every error the lab raises on purpose says three things: what is wrong, what was passed, what to write instead.

All of them are `ValueError`s, so code written for scikit-learn, PyTorch or Qiskit catches them as it always did; the
command line prints them as one line and exits with code 2.
"""

import difflib
from collections.abc import Iterable, Mapping


class LabError(ValueError):
    """Something the caller passed cannot work; the message is one line fit to be shown to a user."""


class Unsupported(LabError):
    """A combination that cannot work exactly; the message names what would work instead."""


class UnknownName(LabError):
    """A name that no member of a family has; the message names the nearest one, or what others call so."""

    def __init__(self, kind: str, name: object, choices: Iterable[str], synonyms: Mapping[str, str] | None = None):
        choices, meant = sorted(choices), (synonyms or {}).get(str(name))
        near = [meant] if meant else difflib.get_close_matches(str(name), choices, n=1, cutoff=0.4)
        hint = f"did you mean {near[0]!r}? " if near else ""
        super().__init__(f"unknown {kind} {name!r}: {hint}choose from {', '.join(choices)}")

    def __reduce__(self):
        return LabError, self.args


class TooLarge(LabError):
    """More memory than the machine has free would be needed; raised before anything is allocated."""


class StoreError(LabError):
    """The results store cannot be used as it is: locked, truncated, of a newer version or not a store at all."""
