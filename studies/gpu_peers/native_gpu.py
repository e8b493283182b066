"""Our layer on backend native with its tensors on the GPU, step by step from Python."""

from studies.gpu_peers.base import layer_step

REQUIRES = ("triton",)
DTYPES = ("float32", "float64")
ON_TORCH_STREAM = True
MOST_QUBITS = 40
build = layer_step
