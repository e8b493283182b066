"""IBM's devices through qiskit-ibm-runtime: by name, fake ones too, and a sampler that never sends the same job twice."""

import difflib
import hashlib
import importlib.util
from typing import Any

import numpy as np
from qiskit import qasm3
from qiskit.primitives import BaseSamplerV2
from qiskit.primitives.containers.sampler_pub import SamplerPub
from qiskit.providers import BackendV2

from circuits.errors import LabError, UnknownName

INSTALL = "IBM's devices need qiskit-ibm-runtime, which is not installed: pip install 'hybrid-qml-lab[ibm]'"
FAKE = "fake_"


def backend_named(name: str) -> BackendV2:
    """The device of that name: one on this machine if it begins with fake_, else one of IBM's, by the saved account.

    Raises:
        LabError: qiskit-ibm-runtime is missing, no account is saved, or the service has no such device.
        UnknownName: no such fake device.
    """
    if importlib.util.find_spec("qiskit_ibm_runtime") is None:
        raise LabError(INSTALL)
    if name.startswith(FAKE):
        from qiskit_ibm_runtime import fake_provider

        kinds = [kind for kind in vars(fake_provider).values() if isinstance(kind, type) and issubclass(kind, BackendV2)]
        known = {kind.backend_name: kind for kind in kinds}
        if name not in known:
            near = difflib.get_close_matches(name, known, n=5, cutoff=0.3) or sorted(known)[:5]  # of more than sixty
            raise UnknownName("device of backend 'qiskit'", name, near)
        return known[name]()
    from qiskit_ibm_runtime import QiskitRuntimeService

    try:
        return QiskitRuntimeService().backend(name)
    except Exception as error:  # no account, no network, no such device: the service has a class for each
        reason = " ".join(str(error).split())[:160]
        raise LabError(
            f"device {name!r} is not to be had ({reason}): save an account with QiskitRuntimeService.save_account, "
            "or try a device on this machine, such as 'fake_manila'"
        ) from None


def sampler_for(backend: BackendV2, seed: int, job_tags: list[str] | None = None) -> BaseSamplerV2:
    """IBM Runtime's executor sampler on the backend; the seed is that of local simulation."""
    from qiskit_ibm_runtime.executor_sampler import Sampler

    sampler = Sampler(mode=backend)
    if _is_local(backend):
        sampler.options.simulator.seed_simulator = seed
        return sampler
    return SentOnce(sampler, backend, job_tags) if job_tags else sampler


def _is_local(backend: BackendV2) -> bool:
    return not hasattr(backend, "service")


class SentOnce(BaseSamplerV2):
    """A runtime sampler whose jobs carry tags of what they run, and are looked for before they are sent.

    After a crash between sending and noting the job's id, the same submission finds its job on the service.

    Args:
        sampler: of the runtime. backend: where it runs. job_tags: what sets this submission apart from an equal one that
            is meant to run again, such as the id of a stored job.
    """

    def __init__(self, sampler: Any, backend: BackendV2, job_tags: list[str]):
        self._sampler, self._backend, self._job_tags = sampler, backend, list(job_tags)

    def run(self, pubs, *, shots: int | None = None):
        """The service's job that has these tags and runs these pubs, or a new one."""
        pubs = [SamplerPub.coerce(pub, shots) for pub in pubs]
        tags = [*self._job_tags, f"qml:{digest(pubs)}"]
        sent = self._backend.service.jobs(job_tags=tags, backend_name=self._backend.name, limit=None)
        alive = [job for job in sent if str(job.status()) not in ("ERROR", "CANCELLED")]
        if alive:
            return alive[0]
        self._sampler.options.environment.job_tags = tags
        return self._sampler.run(pubs)


def digest(pubs: list[SamplerPub]) -> str:
    """Sixteen hexadecimal digits of what pubs run: the same in every process."""
    found = hashlib.sha256()
    for pub in pubs:
        names = sorted(parameter.name for parameter in pub.circuit.parameters)
        values = pub.parameter_values.as_array(names) if names else np.zeros(pub.shape)
        for part in (qasm3.dumps(pub.circuit), str(names), str(values.shape), str(pub.shots)):
            found.update(part.encode() + b"\0")
        found.update(np.ascontiguousarray(values).tobytes())
    return found.hexdigest()[:16]
