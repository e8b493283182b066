"""Counts and lists of numbers as a sentence says them."""

from collections.abc import Iterable


def numbered(thing: str, numbers: Iterable[int]) -> str:
    """`circuit 6`, `circuits 2 to 8, 10, 11`: three neighbours and more become a range."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    parts = [f"{run[0]} to {run[-1]}" if len(run) > 2 else ", ".join(map(str, run)) for run in runs]
    return f"{thing}{'s' * (sum(map(len, runs)) != 1)} {', '.join(parts)}"
