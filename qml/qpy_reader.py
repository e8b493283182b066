"""QPY is read in a process of its own: damaged files make Qiskit's reader allocate without limit, abort or never end.

The process reads with limits on time and memory and writes what it found as QPY anew. That is what this process loads, so
no byte of a file that was not understood whole comes here. It starts at the first file and serves all that follow.
"""

import contextlib
import io
import os
import signal
import struct
import subprocess
import sys
import threading
import warnings
from typing import TYPE_CHECKING

from circuits.errors import LabError
from qml.child_process import ChildProcess, launched

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

SECONDS = 20.0  # for any file, and what it takes at BYTES_A_SECOND
BYTES_A_SECOND = 200_000
GRACE = 10.0  # further seconds after which the process ends by itself: whoever watched it may be gone
MEMORY = 8 << 30  # bytes of addresses, of which Qiskit itself takes one or two
_READY = b"r"
_HEADER = struct.Struct("!cQ")  # b"+" for circuits, b"-" for a reason; length of what follows


class _Reader(ChildProcess):
    """The process, and one file at a time for it."""

    def __init__(self):
        super().__init__()
        self._lock = threading.Lock()

    def read(self, data: bytes, seconds: float) -> bytes:
        """Sound QPY of the same circuits; ValueError says why there is none."""
        with self._lock:
            process, is_late = self._running(), threading.Event()

            def stop() -> None:
                is_late.set()
                process.kill()

            timer = threading.Timer(seconds, stop)
            timer.start()
            try:
                process.stdin.write(struct.pack("!Q", len(data)) + data)
                process.stdin.flush()
                kind, size = _HEADER.unpack(process.stdout.read(_HEADER.size))
                found = process.stdout.read(size)
                if len(found) < size:
                    raise EOFError
            except BaseException as error:
                self.stop()  # an answer that nobody read would be taken for that to the next file
                if isinstance(error, OSError | EOFError | struct.error):
                    raise ValueError(_fault(is_late.is_set(), seconds)) from None
                raise
            finally:
                timer.cancel()
            if kind == b"-":
                raise ValueError(found.decode())
            return found

    def _started(self) -> subprocess.Popen:
        """The process, once it has loaded Qiskit: a slow start takes none of a file's time."""
        process = launched("qml.qpy_reader", stderr=subprocess.DEVNULL)
        if process.stdout.read(1) != _READY:
            raise LabError("the process that reads QPY did not start: see that memory is free, or write OpenQASM 3")
        return process


_reader = _Reader()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: globals().update(_reader=_Reader()))


def circuits_of(data: bytes) -> list["QuantumCircuit"]:
    """The circuits in QPY from anywhere.

    Raises:
        ValueError: why it is not sound, in one line.
    """
    from qiskit import qpy

    sound = _reader.read(data, seconds_for(len(data)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return qpy.load(io.BytesIO(sound))


def seconds_for(n_bytes: int) -> float:
    """How long reading a file of that size may take."""
    return SECONDS + n_bytes / BYTES_A_SECOND


def _fault(is_late: bool, seconds: float) -> str:
    return f"reading it takes more than {seconds:.0f} s" if is_late else "reading it ended Qiskit's reader"


def _serve() -> None:
    """Read what comes in, and write it anew, until the pipe closes."""
    from qml.submission.process import one_line

    # Without `die_with_parent`: the thread that started this may end while others go on reading. The pipe tells.
    _limit()
    from qiskit import qpy  # noqa: F401

    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    replies.write(_READY)
    replies.flush()
    while len(head := sys.stdin.buffer.read(8)) == 8:
        data = sys.stdin.buffer.read(struct.unpack("!Q", head)[0])
        _end_after(seconds_for(len(data)) + GRACE)
        try:
            kind, found = b"+", _renewed(data)
        except (Exception, RecursionError) as error:
            kind, found = b"-", _reason(error, one_line).encode()
        except BaseException as error:  # a panic of Rust's is no Exception
            kind, found = b"-", one_line(error)[:200].encode()
        _end_after(0)
        replies.write(_HEADER.pack(kind, len(found)) + found)
        replies.flush()


def _renewed(data: bytes) -> bytes:
    from qiskit import qpy

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        circuits, renewed = qpy.load(io.BytesIO(data)), io.BytesIO()
        if not circuits:
            raise LabError("it holds no circuits")
        for circuit in circuits:  # Qiskit makes a gate's object when it is first asked for: here damage shows
            _ = [instruction.operation for instruction in circuit.data]
        qpy.dump(circuits, renewed)
    return renewed.getvalue()


def _reason(error: BaseException, one_line) -> str:
    said = str(getattr(error, "message", "") or error)
    return said if said.strip() else one_line(error)


def _end_after(seconds: float) -> None:
    """The system ends this process then, whatever it is doing; 0 takes that back."""
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_REAL, seconds)


def _limit() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    _serve()
