"""What a training step costs: circuits, shots, gates, passes, memory and seconds, counted where they are spent.

Every backend and every gradient method reports its runs here; nothing is to be switched on. While no ledger is open that
is one look at an empty list.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, fields

_OPEN: list["Ledger"] = []
_PURPOSE: ContextVar[str | None] = ContextVar("purpose", default="values")  # None: entered already


@dataclass
class Counts:
    """What runs of quantum circuits cost.

    Attributes:
        circuits: states prepared from the start, each by one circuit: one for each sample, shifted angle and, with shots,
            measurement basis.
        shots: outcomes drawn.
        gates: how often a gate of the lowered circuit, or its inverse, was applied to a state.
        passes: sweeps over all amplitudes of a state. The native engine does many gates in one; a backend that does not
            say how it merges gates is counted with one pass a gate.
        peak_bytes: of states held at one time, at most.
        seconds: in the backend.
    """

    circuits: int = 0
    shots: int = 0
    gates: int = 0
    passes: int = 0
    peak_bytes: int = 0
    seconds: float = 0.0

    def add(self, other: "Counts") -> None:
        """Sums, and the larger peak."""
        for item in fields(self):
            own, more = getattr(self, item.name), getattr(other, item.name)
            setattr(self, item.name, max(own, more) if item.name == "peak_bytes" else own + more)


@dataclass
class Ledger:
    """The costs of what ran while it was open, in this process.

    Attributes:
        values, gradients: of quantum circuits run for expectation values, and for their derivatives.
        flops, bytes: of everything that torch itself computed, forward and backward: floating-point operations of matrix
            products and convolutions (torch's own count), and bytes that operations read and wrote.
        seconds: from opening to closing.
    """

    values: Counts = field(default_factory=Counts)
    gradients: Counts = field(default_factory=Counts)
    flops: int = 0
    bytes: int = 0
    seconds: float = 0.0

    @property
    def total(self) -> Counts:
        """Values and gradients together."""
        total = Counts()
        for part in (self.values, self.gradients):
            total.add(part)
        return total

    def as_dict(self) -> dict:
        """Everything as numbers in nested dictionaries."""
        parts = {name: vars(getattr(self, name)).copy() for name in ("values", "gradients", "total")}
        return parts | {"flops": self.flops, "bytes": self.bytes, "seconds": self.seconds}

    def __str__(self) -> str:
        rows = [("", "values", "gradients", "total")]
        for item in fields(Counts):
            numbers = [getattr(part, item.name) for part in (self.values, self.gradients, self.total)]
            rows.append((item.name.replace("_", " "), *(_shown(number) for number in numbers)))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [row[0].ljust(widths[0]) + "".join("  " + t.rjust(w) for t, w in zip(row[1:], widths[1:])) for row in rows]
        last = f"classical: {self.flops:,} floating-point operations, {self.bytes:,} bytes; {_shown(self.seconds)} s in all"
        return "\n".join([*lines, last])


def _shown(number: float) -> str:
    return f"{number:,}" if isinstance(number, int) else f"{number:.3g}"


@contextmanager
def ledger(classical: bool = True) -> Iterator[Ledger]:
    """Count what runs inside: `with qml.ledger() as cost: ...`; ledgers may be nested.

    Args:
        classical: count torch's own operations too, which slows each of them by some microseconds.

    Example:
        with qml.ledger() as cost:
            loss(model(inputs), labels).backward()
        print(cost)
    """
    opened = Ledger()
    started = time.perf_counter()
    _OPEN.append(opened)
    try:
        if classical:
            from qml.torch_operations import counted

            with counted(opened):
                yield opened
        else:
            yield opened
    finally:
        _OPEN[:] = [other for other in _OPEN if other is not opened]
        opened.seconds = time.perf_counter() - started


def is_open() -> bool:
    """Whether anybody counts."""
    return bool(_OPEN)


@contextmanager
def for_gradients() -> Iterator[None]:
    """What runs inside is run for derivatives."""
    token = _PURPOSE.set("gradients")
    try:
        yield
    finally:
        _PURPOSE.reset(token)


@contextmanager
def entered_already() -> Iterator[None]:
    """What runs inside is part of a run that was entered outside, and is not counted again."""
    token = _PURPOSE.set(None)
    try:
        yield
    finally:
        _PURPOSE.reset(token)


@contextmanager
def run(circuits: int = 0, shots: int = 0, gates: int = 0, passes: int = 0, peak_bytes: int = 0) -> Iterator[Counts]:
    """Enter what runs inside, with the seconds it takes, in every open ledger; nothing if it raises.

    It gives the counts, which may be corrected inside.
    """
    spent = Counts(circuits, shots, gates, passes, peak_bytes)
    started = time.perf_counter()
    yield spent
    spent.seconds = time.perf_counter() - started
    purpose = _PURPOSE.get()
    for opened in _OPEN if purpose else ():
        getattr(opened, purpose).add(spent)
