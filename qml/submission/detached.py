"""A process of its own that runs jobs and outlives the command that submitted them.

`start` returns once the jobs are the new process's, so that at no moment a job belongs to nobody who lives.
"""

import json
import os
import subprocess
import sys
from concurrent.futures import wait
from pathlib import Path

from circuits.errors import LabError
from qml.submission.owners import this_process

READY = "ready"


def start(path: Path, job_ids: list[str], parallel: int | None, cluster: str | None) -> None:
    """Jobs of this process that wait are claimed by a process of their own, which runs them.

    Raises:
        LabError: it could not be started or could not claim them.
    """
    if not job_ids:
        return
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-m", "qml.submission.detached"]
    # A session of its own: neither Ctrl-C nor the end of the terminal reaches it.
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
        start_new_session=True,
    )  # fmt: skip
    wanted = {"store": str(path), "ids": job_ids, "parallel": parallel, "cluster": cluster, "owner": this_process()}
    try:
        process.stdin.write(json.dumps(wanted) + "\n")
        process.stdin.close()
        said = process.stdout.readline().strip()
    except BrokenPipeError:
        said = ""
    process.stdout.close()
    if said != READY:
        reason = said or f"it ended with exit code {process.wait()}"
        raise LabError(f"the process that was to run the jobs did not start ({reason}): write `qml jobs rerun {job_ids[0]}`")


def _serve() -> None:
    """Claim what standard input names, say so, and run it."""
    from qml.store import Store
    from qml.submission import placing
    from qml.submission.scheduler import current

    wanted = json.loads(sys.stdin.readline())
    path = Path(wanted["store"])
    try:
        with Store(path) as store:
            rows = [store.job(job_id) for job_id in wanted["ids"]]
            waiting = [row for row in rows if row["state"] == "queued" and row["owner"] == wanted["owner"]]
            claimed = set(store.claim(waiting, this_process()))
        records = [row for row in waiting if row["id"] in claimed]
        with placing.failing(records, path):
            tasks = placing.tasks(records, path, wanted["parallel"], wanted["cluster"], {})
            current().enqueue(tasks)
    except LabError as error:
        print(" ".join(str(error).split()), flush=True)
        return
    print(READY, flush=True)
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)  # nobody reads that pipe any more
    # Jobs import what they need: a program that has begun to end allows that no longer for everything.
    wait([task.future for task in tasks])


if __name__ == "__main__":
    _serve()
