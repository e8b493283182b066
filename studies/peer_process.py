"""Peers' steps in a process of their own, which may run out of memory or time, or crash, without taking the study along."""

import json
import signal
import subprocess
import sys
import tempfile
import threading
import time

from circuits.errors import LabError

STARTING = 120.0  # seconds for a process to import everything and compile our kernels


def attempt(task: dict, limit: float) -> tuple[list[dict], str | None, str]:
    """What `studies.peers` said of a task, the peer that it was busy with when it ended, if it did so early, and why it did.

    Args:
        limit: seconds for the first steps of each peer.

    Raises:
        LabError: it ended before any peer's turn.
    """
    told = json.dumps({key: task[key] for key in ("workload", "peers", "rounds", "budget")})
    command = [sys.executable, "-m", "studies.peers", told]
    rows: list[dict] = []
    busy: str | None = None
    since = time.perf_counter()
    # To a file: a peer with much to say would fill a pipe that nobody reads, and wait.
    with tempfile.TemporaryFile("w+") as said:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said, text=True)
        timer = threading.Timer(STARTING + limit, process.kill)
        timer.start()
        try:
            for line in process.stdout:
                if not line.startswith("{"):
                    continue  # some peers greet
                row = json.loads(line)
                timer.cancel()
                since = time.perf_counter()
                timer = threading.Timer(limit + 3 * task["budget"], process.kill)
                timer.start()
                busy = row["name"] if row["status"] == "starting" else None
                if busy is None:
                    rows.append(row)
            process.wait()
        finally:
            timer.cancel()
            process.kill()
        said.seek(0)
        words = said.read().strip().splitlines()
    if process.returncode and busy is None:
        raise LabError(f"our own steps failed: {words[-1] if words else 'no word'}")
    over = process.returncode == -signal.SIGKILL and not timer.is_alive() and time.perf_counter() - since >= limit
    return rows, busy, f"its first steps took longer than {limit:g} s" if over else _ending(process.returncode)


def _ending(code: int) -> str:
    if code == -signal.SIGKILL:
        return "its process was killed, for want of memory as a rule"
    return f"its process ended by {signal.Signals(-code).name}" if code < 0 else f"its process ended with exit code {code}"
