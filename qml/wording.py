"""Numbers and lists of names as a reader would say them."""

from collections.abc import Sequence


def counted(number: int, what: str) -> str:
    """The number and what it counts: "1 circuit", "1,200 circuits"."""
    return f"{number:,} {what}{'s' * (number != 1)}"


def some(names: Sequence[str], most: int = 4) -> str:
    """The first names, and how many more there are: "a, b, c, d and 3 more"."""
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def duration(seconds: float) -> str:
    """The time in the unit a reader would choose."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s" if seconds >= 1 else f"{seconds * 1e3:.3g} ms"


def size(n_bytes: int) -> str:
    """A number of bytes, in units of 1,024."""
    for unit, length in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if n_bytes >= length:
            return f"{n_bytes / length:,.1f} {unit}"
    return counted(n_bytes, "byte")
