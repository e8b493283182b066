"""The threads that engines share, and units of work spread over them."""

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache


@lru_cache(maxsize=1)
def pool() -> ThreadPoolExecutor:
    """The process's threads, one for each core beside the caller's."""
    return ThreadPoolExecutor(max(1, n_threads() - 1), thread_name_prefix="qml-native")


@lru_cache(maxsize=1)
def n_threads() -> int:
    """Threads engines use: NUMBA_NUM_THREADS, else OMP_NUM_THREADS, else the cores this process may use."""
    for name in ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS"):
        if os.environ.get(name, "").isdigit() and int(os.environ[name]) > 0:
            return int(os.environ[name])
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


os.register_at_fork(after_in_child=pool.cache_clear) if hasattr(os, "register_at_fork") else None


def spread(work: Callable, units: Iterable[tuple]) -> None:
    """`work(*unit)` for every unit, the caller's thread taking its share; whatever one raises is raised here."""
    units = list(units)
    left = iter(units)

    def drain() -> None:
        for unit in left:  # one thread at a time steps a list's iterator
            work(*unit)

    helpers = min(n_threads(), len(units)) - 1
    futures = [pool().submit(drain) for _ in range(helpers)]
    drain()
    for future in futures:
        future.result()
