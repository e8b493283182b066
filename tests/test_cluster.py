"""Jobs and studies on a Dask cluster of real worker processes, one of which is killed in the middle: the same results."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from qiskit import QuantumCircuit

import qml
from circuits.errors import LabError
from qml.store import Store
from studies.base import load
from studies.execution import execute

distributed = pytest.importorskip("distributed", reason="Dask is not installed: pip install 'hybrid-qml-lab[cluster]'")
Client, SEED = distributed.Client, 20261125


def circuits(n_qubits: int, count: int) -> list[QuantumCircuit]:
    made = []
    for number in range(count):
        circuit = QuantumCircuit(n_qubits)
        for layer in range(20):
            circuit.ry(0.1 * (number + layer), range(n_qubits))
            circuit.cx(range(n_qubits - 1), range(1, n_qubits))
        made.append(circuit)
    return made


class Cluster:
    """A Dask scheduler and workers, each a process of its own."""

    def __init__(self, folder):
        self._file, self._folder = folder / "scheduler.json", folder
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
        where = ["--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(self._file)]
        self.processes = [self._start("scheduler", *where)]
        while not self._file.exists() and self.processes[0].poll() is None:
            time.sleep(0.05)
        self.address = json.loads(self._file.read_text())["address"]

    def add_worker(self) -> subprocess.Popen:
        one = ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--host", "127.0.0.1"]
        self.processes.append(self._start("worker", self.address, *one))
        return self.processes[-1]

    def wait_for(self, n_workers: int) -> None:
        with Client(self.address) as client:
            client.wait_for_workers(n_workers, timeout=60)

    def close(self) -> None:
        for process in reversed(self.processes):
            process.kill()
            process.wait()

    def _start(self, *arguments: str) -> subprocess.Popen:
        with open(self._folder / f"{arguments[0]}.log", "a") as log:
            command = [sys.executable, "-m", "dask", *arguments]
            return subprocess.Popen(command, env=self._environment, stdout=log, stderr=log, cwd=self._folder)


@pytest.fixture
def cluster(tmp_path):
    """A cluster with two workers."""
    made = Cluster(tmp_path)
    try:
        yield made, [made.add_worker() for _ in range(2)]
    finally:
        made.close()


def rows_of(study, cases, path, **where) -> list[dict]:
    with Store(path) as store:
        ids, _ = execute(study, cases, store, **where)
        return [{key: value for key, value in row.items() if key != "provenance"} for row in store.rows(study.name, ids)]


def test_a_cluster_gives_the_same_results_when_a_worker_is_killed_in_the_middle(cluster, tmp_path):
    cluster, (first, second) = cluster
    request = {"backend": "aer", "shots": 200, "seed": SEED}
    here = [job.result() for job in qml.submit(circuits(10, 8), store=tmp_path / "here", **request)]
    cluster.wait_for(2)
    submitted = qml.submit(circuits(10, 8), store=tmp_path / "there", cluster=cluster.address, **request)
    submitted[1].result()
    first.kill()
    assert [job.result() for job in submitted] == here and first.wait() == -signal.SIGKILL
    assert {job.record()["owner"]["pid"] for job in submitted} == {os.getpid()}  # workers never write the store

    study = load("barren_plateaus")
    assigned = ("qubits=2,3,4", "depth_factor=2", "samples=512")
    cases = study.module.cases(study.settings(quick=True, assignments=assigned))
    alone = rows_of(study, cases, tmp_path / "one", workers=1)
    cluster.add_worker()
    cluster.wait_for(2)

    def kill_in_the_middle() -> None:
        while not done():
            time.sleep(0.01)
        second.kill()

    def done() -> set[str]:
        with Store(tmp_path / "other") as store:
            return store.case_ids(study.name)

    killer = threading.Thread(target=kill_in_the_middle)
    killer.start()
    assert rows_of(study, cases, tmp_path / "other", cluster=cluster.address) == alone
    killer.join()
    assert second.wait() == -signal.SIGKILL


def test_a_scheduler_that_is_not_there_is_refused_in_one_line(tmp_path):
    with pytest.raises(LabError, match="no Dask scheduler answers at nonsense"):
        qml.submit(circuits(2, 1)[0], cluster="nonsense://x", store=tmp_path / "store")
