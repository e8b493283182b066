"""PennyLane's tapes on our backends: what tapes share, what is read of them, and many of them at once."""
