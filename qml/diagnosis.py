"""What this machine can do, found out by running it: a list of devices is not believed, a one-qubit run is.

Known faults of other packages are named by their number where they apply here.
"""

import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any

from circuits.errors import LabError, StoreError
from qml.known_faults import applying

PACKAGES = (
    *("hybrid-qml-lab", "numpy", "scipy", "numba", "torch", "scikit-learn", "qiskit", "qiskit-aer"),
    *("qiskit-aer-gpu", "pennylane", "pennylane-lightning", "triton"),
)
CLASHING = ("circuits", "qml", "studies")  # distributions of other people that import under our names
PROBE_SECONDS = 120
_CUSTATEVEC_PROBE = """
from qiskit import QuantumCircuit
from qiskit_aer import AerSimulator
circuit = QuantumCircuit(1)
circuit.x(0)
circuit.measure_all()
simulator = AerSimulator(method="statevector", device="GPU", cuStateVec_enable=True)
result = simulator.run(circuit, shots=1).result()
print("used" if result.success and result.results[0].metadata.get("cuStateVec_enable") else "unused")
"""
_NATIVE_GPU_PROBE = """
import torch
from circuits import ansatze, encodings
from qml import QuantumLayer
layer = QuantumLayer(encodings.angle(2).compose(ansatze.hardware_efficient(2, 1)), seed=0)
x = torch.tensor([[0.3, -0.7]])
found = []
for device in ("cpu", "cuda"):
    layer.to(device).zero_grad()
    values = layer(x.to(device))
    values.sum().backward()
    found.append(torch.cat([values.detach().cpu().ravel(), layer.w.grad.cpu().ravel()]))
assert torch.allclose(*found, atol=1e-5), f"values and gradients differ by {(found[0] - found[1]).abs().max():.3g}"
print("runs: values and gradients of two qubits are those of the CPU")
"""
_AER_GPU_PROBE = "from qml.diagnosis import probe\nprint(probe('aer', device='GPU'))"


@dataclass(frozen=True)
class Check:
    """One thing that was tried: whether it works (None: nothing here to try it on), and what to know."""

    name: str
    works: bool | None
    says: str


@dataclass(frozen=True)
class Report:
    """What `doctor` found; `print` shows it line by line.

    Attributes:
        python, system: versions of the interpreter and the operating system.
        versions: package -> version, None where it is not installed.
        cores: cores this process may use.
        simd: the widest vector instructions.
        memory_free, memory_total: bytes.
        checks: what was tried: backends, graphics processors, installation, store.
        faults: known faults that apply here: number -> what it does and what to do.
    """

    python: str
    system: str
    versions: dict[str, str | None]
    cores: int
    simd: str
    memory_free: int
    memory_total: int
    checks: list[Check] = field(default_factory=list)
    faults: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict:
        """The report as JSON holds it."""
        return asdict(self)

    def lines(self) -> list[tuple[str, str, str]]:
        """(mark, name, what was found) of everything; the mark is ok, no, - (cannot be tried here) or !."""
        found = [("", "python", f"{self.python} on {self.system}")]
        found += [("", name, version or "not installed") for name, version in self.versions.items()]
        memory = f"{self.memory_free / 2**30:.1f} GiB free of {self.memory_total / 2**30:.1f}"
        found.append(("", "machine", f"{self.cores} cores, {self.simd}, {memory}"))
        marks = {True: "ok", False: "no", None: "-"}
        found += [(marks[check.works], check.name, check.says) for check in self.checks]
        return found + [("!", number, says) for number, says in self.faults.items()]

    def __str__(self) -> str:
        return "\n".join(f"{mark:2} {name:22} {says}" for mark, name, says in self.lines())


def doctor() -> Report:
    """Everything that can be found out about this installation in some seconds; nothing here raises.

    Cost: imports every installed backend; one Python process where an Aer for GPUs may work.
    """
    import psutil

    memory = psutil.virtual_memory()
    versions = {name: _version(name) for name in PACKAGES}
    checks = [*_backends(), *_graphics(versions), _aer_wheels(versions), *_clashes(), _store()]
    works = {check.name: check.works for check in checks}
    return Report(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.machine()}",
        versions=versions,
        cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        simd=_simd(),
        memory_free=memory.available,
        memory_total=memory.total,
        checks=checks,
        faults=applying(versions, works.get("GPU, Aer") is True, works.get("GPU, cuStateVec")),
    )


def probe(backend: str, **options: Any) -> str:
    """What a backend says of one qubit flipped: "runs ..." where counts and expectation value are right.

    Raises:
        LabError: it ran and was wrong. Whatever else the backend raises is passed on.
    """
    from qiskit import QuantumCircuit
    from qiskit.quantum_info import SparsePauliOp

    from qml.backends.base import resolve

    flip = QuantumCircuit(1)
    flip.x(0)
    resolved = resolve(backend, **options)
    counts = resolved.counts(flip.measure_all(inplace=False), 16, 0)
    values, _ = resolved.estimate(flip, [SparsePauliOp("Z")], None, 0)
    if counts != {"1": 16} or abs(values[0] + 1) > 1e-6:
        raise LabError(f"a flipped qubit gave {counts} and <Z> = {values[0]}: do not trust this backend here")
    return "runs: counts and expectation value of one qubit are right"


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _tried(name: str, attempt: Callable[[], str]) -> Check:
    try:
        return Check(name, True, attempt())
    except Exception as error:  # whatever a broken installation raises is the finding
        reason = " ".join(str(error).split()) or "no reason given"
        return Check(name, False, reason if isinstance(error, LabError) else f"{type(error).__name__}: {reason}")


def _backends() -> list[Check]:
    from circuits.families import members

    return [_tried(f"backend {name}", lambda name=name: probe(name)) for name in members("qml.backends")]


def _graphics(versions: dict[str, str | None]) -> list[Check]:
    checks = [_driver(), _torch_cuda()]
    checks += _native_gpu(checks[-1].works is True)
    if not (versions["qiskit-aer"] or versions["qiskit-aer-gpu"]):
        return [
            *checks,
            Check("GPU, Aer", None, "Aer is not installed: pip install 'hybrid-qml-lab[aer-gpu]'"),
        ]
    aer = _tried("GPU, Aer", lambda: _in_process(_AER_GPU_PROBE))
    if not (aer.works or versions["qiskit-aer-gpu"]):
        cure = "with an NVIDIA GPU, pip uninstall qiskit-aer and pip install 'hybrid-qml-lab[aer-gpu]'"
        aer = Check("GPU, Aer", None, f"tried: the wheel qiskit-aer runs on the CPU only; {cure}")
    checks.append(aer)
    if aer.works:
        checks.append(_tried("GPU, cuStateVec", _custatevec))
    return checks


def _torch_cuda() -> Check:
    try:
        import torch
    except Exception as error:
        return Check("GPU, torch", False, f"torch cannot be imported: {' '.join(str(error).split())}")
    if torch.version.cuda is None:
        return Check("GPU, torch", None, "this torch is built for the CPU")
    if not torch.cuda.is_available():
        return Check("GPU, torch", None, f"built for CUDA {torch.version.cuda}, which finds no GPU or no driver")

    def run() -> str:
        total = float((torch.ones(3, device="cuda") * 2).sum())
        if total != 6:
            raise LabError(f"2 + 2 + 2 gave {total} on the GPU")
        names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
        return f"runs with CUDA {torch.version.cuda}: {', '.join(names)}"

    return _tried("GPU, torch", run)


def _driver() -> Check:
    """What NVIDIA's own program says of the driver and its GPUs."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return Check("GPU, driver", None, "no nvidia-smi here, so no NVIDIA driver")

    def run() -> str:
        query = "--query-gpu=name,driver_version,memory.total"
        done = subprocess.run([program, query, "--format=csv,noheader"], capture_output=True, text=True, timeout=30)
        if done.returncode:
            raise LabError(" ".join((done.stderr or done.stdout).split()) or f"nvidia-smi ended with {done.returncode}")
        return "; ".join(done.stdout.strip().splitlines())

    return _tried("GPU, driver", run)


def _native_gpu(torch_runs: bool) -> list[Check]:
    """Triton, and our kernels on it."""
    version = _version("triton")
    if version is None:
        cure = "CUDA builds of torch for Linux bring it; else pip install triton"
        return [Check("GPU, native", False if torch_runs else None, f"Triton is not installed: {cure}")]
    if not torch_runs:
        return [Check("GPU, native", None, f"Triton {version} has no GPU here; its interpreter runs the tests on the CPU")]
    return [_tried("GPU, native", lambda: f"Triton {version} {_in_process(_NATIVE_GPU_PROBE)}")]


def _custatevec() -> str:
    if _in_process(_CUSTATEVEC_PROBE) != "used":
        raise LabError("asked for and not used: Aer simulates on the GPU with its own kernels")
    return "used when asked for with cuStateVec_enable=True"


def _in_process(code: str) -> str:
    """What a program prints, run in a process of its own, so that a crash or a hang is survived."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-P", "-c", code]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, env=environment)
    except subprocess.TimeoutExpired:
        raise LabError(f"did not answer within {PROBE_SECONDS} s") from None
    if done.returncode < 0:
        raise LabError(f"crashed with signal {-done.returncode}")
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise LabError(last.removeprefix("circuits.errors.LabError: "))
    return done.stdout.strip()


def _aer_wheels(versions: dict[str, str | None]) -> Check:
    both = versions["qiskit-aer"] and versions["qiskit-aer-gpu"]
    says = "qiskit-aer and qiskit-aer-gpu are both installed, and write the same files" if both else "one at most"
    return Check("Aer wheels", not both, says)


def _clashes() -> list[Check]:
    found = [name for name in CLASHING if _version(name)]
    if not found:
        return [Check("import names", True, f"no other distribution brings {', '.join(CLASHING)}")]
    return [
        Check("import names", False, f"the distribution {name!r} imports under our name: pip uninstall {name}")
        for name in found
    ]


def _store() -> Check:
    from qml.store import Store, default_path
    from qml.wording import counted

    def opened() -> str:
        path = default_path()
        if not path.exists():
            return f"{path} (not there yet: it is made when first needed)"
        with Store(path, busy_seconds=1.0) as store:
            n_cases, n_jobs = sum(n for _, n, _ in store.studies()), len(store.jobs())
            return f"{path}: {counted(n_cases, 'study case')}, {counted(n_jobs, 'job')}"

    try:
        return Check("store", True, opened())
    except StoreError as error:
        return Check("store", False, str(error))


def _simd() -> str:
    try:
        import llvmlite.binding
    except ImportError:
        return "SIMD unknown without llvmlite"
    features = llvmlite.binding.get_host_cpu_features()
    levels = {
        "avx512f": "AVX-512",
        "avx2": "AVX2",
        "avx": "AVX",
        "sve": "SVE",
        "neon": "NEON",
        "sse2": "SSE2",
    }
    return next((name for feature, name in levels.items() if features.get(feature)), "no SIMD known")
