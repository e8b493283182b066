"""Seeds that depend on what is drawn and on nothing else."""

import hashlib

import numpy as np


def child(seed: np.random.SeedSequence, *key: int) -> np.random.SeedSequence:
    """The stream that `key` names below `seed`: the same whenever and however often it is asked for."""
    return np.random.SeedSequence(seed.entropy, spawn_key=(*seed.spawn_key, *key))


def seed_for(seed: int, *key: str | int) -> int:
    """A 63-bit seed for what `key` names: independent of every other key, the same on every machine.

    Args:
        seed: the run's seed, a whole number of at least 0.
        key: what is drawn, e.g. "shuffle", 3.
    """
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    words = [int.from_bytes(digest[start : start + 4], "little") for start in range(0, 16, 4)]
    return int(np.random.SeedSequence([seed, *words]).generate_state(1, np.uint64)[0] >> np.uint64(1))
