"""Known faults of other packages, by their number: what each does, what to do, and where it applies."""

FAULTS = {
    "qiskit-aer#2351": (
        "with both wheels installed the GPU is not found: pip uninstall qiskit-aer qiskit-aer-gpu, then "
        "install one of hybrid-qml-lab[aer] and hybrid-qml-lab[aer-gpu]"
    ),
    "qiskit-aer#2336": ("qiskit-aer-gpu before 0.17 cannot be imported with Qiskit 2: pip install -U qiskit-aer-gpu"),
    "qiskit-aer#2374": (
        "there is no Aer wheel for CUDA 13: the one installed needs its own CUDA 12 libraries beside torch's"
    ),
    "qiskit-aer#2144": ("cuStateVec is silently not used: times measured with it are those of Aer's own kernels"),
    "qiskit-aer#2244": ("bound parameters with batched shots are wrong on several GPUs: set CUDA_VISIBLE_DEVICES to one"),
    "qiskit-aer#2340": (
        "with blocking over several GPUs outcomes are sampled that have no amplitude: set CUDA_VISIBLE_DEVICES to one"
    ),
    "qiskit-aer#2460": ("blocking over several GPUs can return a state of the wrong norm: set CUDA_VISIBLE_DEVICES to one"),
    "qiskit-aer#2438": (
        "Aer's EstimatorV2 takes time quadratic in the rows of parameters and must not be forked: the lab's "
        "backend does not use it; start processes of your own with spawn"
    ),
    "pennylane-lightning#987": ("lightning.qubit ignores seeds: the lab draws shots from its exact probabilities"),
}


def applying(versions: dict[str, str | None], aer_gpu: bool, custatevec: bool | None) -> dict[str, str]:
    """Number -> effect and cure, of the faults that apply here.

    Args:
        versions: package -> version, None where it is not installed.
        aer_gpu: whether Aer runs on a GPU here.
        custatevec: whether Aer uses cuStateVec when asked to; None where it was not asked.
    """
    cpu_wheel, gpu_wheel = versions["qiskit-aer"], versions["qiskit-aer-gpu"]
    applies = {
        "qiskit-aer#2351": bool(cpu_wheel and gpu_wheel),
        "qiskit-aer#2336": _older(gpu_wheel, (0, 17)) and not _older(versions["qiskit"], (2, 0)),
        "qiskit-aer#2374": bool(gpu_wheel) and _cuda_of_torch() >= 13,
        "qiskit-aer#2144": custatevec is False,
        "qiskit-aer#2244": aer_gpu and _n_gpus() > 1,
        "qiskit-aer#2340": aer_gpu and _n_gpus() > 1,
        "qiskit-aer#2460": aer_gpu and _n_gpus() > 1,
        "qiskit-aer#2438": bool(cpu_wheel or gpu_wheel),
        "pennylane-lightning#987": versions["pennylane-lightning"] is not None,
    }
    return {number: FAULTS[number] for number, here in applies.items() if here}


def _older(version: str | None, than: tuple[int, int]) -> bool:
    if version is None:
        return False
    major, minor = version.split(".")[:2]
    return (int(major), int(minor)) < than


def _cuda_of_torch() -> int:
    import torch

    return int((torch.version.cuda or "0").split(".")[0])


def _n_gpus() -> int:
    import torch

    return torch.cuda.device_count()
