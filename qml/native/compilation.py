"""How kernels are compiled: on first use, kept on disk, with a word to whoever waits."""

import hashlib
import sys
from functools import lru_cache, partial
from pathlib import Path

import numba
from numba.core import event

from qml.native import simd


@lru_cache(maxsize=1)
def _sources() -> str:
    """A hash of every file of this folder, any of which a kernel may have been compiled from."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return f"{digest.hexdigest()} {simd.WIDTH}"


def jit(function=None, **options):
    """`function`, which Python calls, compiled on first use and kept on disk until any file of this folder changes.

    Args:
        options: further ones of `numba.njit`.
    """
    return partial(jit, **options) if function is None else _compiled(function, True, options)


def inner(function=None, kept: bool = False):
    """`function`, which only kernels call: without what Python calls it by, a fifth of the time that compiling takes.

    Args:
        kept: whether on disk as well, since kernels that are compiled on different days call it.
    """
    if function is None:
        return partial(inner, kept=kept)
    return _compiled(function, kept, {"no_cpython_wrapper": True, "no_cfunc_wrapper": True})


def _compiled(function, kept: bool, options: dict):
    dispatcher = numba.njit(cache=kept, nogil=True, error_model="numpy", **options)(function)
    if kept:
        # Numba alone looks at the file of the function it is given: edit a kernel that another file calls, and the caller
        # would go on with the old one.
        dispatcher._cache._cache_file._source_stamp = _sources()
    return dispatcher


class _Announcement(event.Listener):
    """Says once that kernels are being compiled, which happens once on a machine and takes a while."""

    def on_start(self, event):
        module = event.data.get("module", "")
        if self in _waiting and module.startswith("qml.native.") and module != simd.__name__:
            _waiting.clear()
            print(
                "qml: compiling kernels for this machine, kept for the next time; up to 20 seconds ...",
                file=sys.stderr,
                flush=True,
            )

    def on_end(self, event):
        """Nothing: the run that waited shows that it is over."""


_waiting = [_Announcement()]
event.register("numba:run_pass", _waiting[0])
