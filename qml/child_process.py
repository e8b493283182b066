"""A process of our own that answers over its pipes: started when it is needed, again after it died, ended at our end."""

import atexit
import os
import subprocess
import sys
from abc import ABC, abstractmethod


class ChildProcess(ABC):
    """At most one process at a time; a subclass says how it is started and speaks with it."""

    def __init__(self):
        self._process: subprocess.Popen | None = None
        self._owner = 0

    @property
    def pid(self) -> int | None:
        """The process's number; None where it was not started, or has ended."""
        is_mine = self._process is not None and self._owner == os.getpid() and self._process.poll() is None
        return self._process.pid if is_mine else None

    def stop(self) -> None:
        """Ended at once, whatever it is doing, where this process started it."""
        if self._process is not None and self._owner == os.getpid():
            self._process.kill()
            self._process.wait()

    def _running(self) -> subprocess.Popen:
        # The pipes of a process inherited through fork belong to the parent.
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            if self._owner != os.getpid():
                atexit.register(self.stop)
            self._process, self._owner = self._started(), os.getpid()
        return self._process

    @abstractmethod
    def _started(self) -> subprocess.Popen:
        """A new process, ready to be spoken to."""


def launched(module: str, **options) -> subprocess.Popen:
    """Python running one of our modules, with pipes to and from it; `options` are further ones of `Popen`."""
    # -P and this path: it imports what this program imports, and not what lies in the current folder.
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command, pipe = [sys.executable, "-P", "-m", module], subprocess.PIPE
    # A group of its own: Ctrl-C reaches this program, which then decides; the child would only be found dead.
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, process_group=0, **options)
