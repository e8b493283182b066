"""Workers on other machines: an existing Dask cluster, through the standard `concurrent.futures.Executor`.

Dask is started by its own commands, in an environment that has this program (`pip install 'hybrid-qml-lab[cluster]'`):

    dask scheduler                                            # prints its address, tcp://HOST:8786
    dask worker tcp://HOST:8786 --nworkers 4 --nthreads 1     # on every machine
    qml submit FILES --cluster tcp://HOST:8786
    studies run NAME --cluster tcp://HOST:8786

On a SLURM cluster, dask-jobqueue submits the workers (`pip install dask-jobqueue`); leave this running on the login node:

    from dask_jobqueue import SLURMCluster
    cluster = SLURMCluster(
        queue="QUEUE", cores=4, processes=4, memory="16GB", walltime="01:00:00",
        worker_extra_args=["--lifetime", "55m", "--lifetime-stagger", "2m"],
        scheduler_options={"port": 8786},
    )
    cluster.adapt(maximum_jobs=20)     # `adapt` and not `scale`: it replaces workers whose time was up
    input(cluster.scheduler_address)

`print(cluster.job_script())` shows what it submits. A task whose worker dies is computed again by another one; after three
deaths it is given up (`distributed.scheduler.allowed-failures`).
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from dataclasses import dataclass, field
from typing import Any

from circuits.errors import LabError
from qml.submission.process import SimulatorProcess, answer, one_line

MOST_AT_ONCE = 128  # jobs handed to a cluster by one process; each waits in a thread
_mine = threading.local()


def connected(address: str) -> Any:
    """A Dask client of the scheduler at this address.

    Raises:
        LabError: Dask is missing, or no scheduler answers there.
    """
    try:
        from distributed import Client
    except ImportError:
        raise LabError("--cluster needs Dask, which is not installed: pip install 'hybrid-qml-lab[cluster]'") from None
    try:
        return Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise LabError(f"no Dask scheduler answers at {address} ({error}): start one, or check it") from None


@contextlib.contextmanager
def on_cluster(address: str) -> Iterator[Executor]:
    """A cluster's workers; closing the client at the end cancels what is still in the queue."""
    with connected(address) as client:
        yield client.get_executor(pure=False)


class Cluster:
    """Runs requests of jobs on a cluster's workers."""

    def __init__(self, address: str):
        self._client = connected(address)
        self._executor = self._client.get_executor(pure=False)

    def at_once(self) -> int:
        """How many requests keep every worker busy."""
        threads = sum(self._client.nthreads().values())
        return max(2, min(MOST_AT_ONCE, 2 * threads))

    def close_after(self, futures: Sequence[Future]) -> None:
        """The connection ends with the last of these; one that stays open complains when the scheduler goes."""
        left = set(map(id, futures))

        def ended(future: Future) -> None:
            left.discard(id(future))
            if not left:
                threading.Thread(target=self._client.close, daemon=True).start()  # it may not wait for itself

        for future in futures:
            future.add_done_callback(ended)

    def runner(self, request: dict) -> "OnCluster":
        """What runs one request there."""
        return OnCluster(self._executor, request)


@dataclass
class OnCluster:
    """One request on a cluster; stopping it frees its worker once what runs has ended."""

    executor: Executor
    request: dict
    future: Future | None = field(default=None)

    def prepare(self) -> None:
        """Nothing: which worker it will be is not known."""

    def perform(self) -> dict:
        self.future = self.executor.submit(answer_apart, self.request)
        try:
            return self.future.result()
        except CancelledError:
            raise LabError("the cluster gave the job up") from None
        except LabError:
            raise
        except Exception as error:
            raise LabError(f"the cluster did not run it ({one_line(error)[:200]})") from error
        finally:
            self.future = None  # while it is held, the cluster computes the result again when its worker dies

    def stop(self) -> None:
        future = self.future
        if future is not None:
            future.cancel()


def answer_apart(request: dict) -> dict:
    """The answer to a request, on a worker: in a process beside it, so that the worker goes on answering its scheduler."""
    if request["quick"]:
        return answer(request)
    if not hasattr(_mine, "simulator"):
        _mine.simulator = SimulatorProcess()
    return _mine.simulator.perform(request)
