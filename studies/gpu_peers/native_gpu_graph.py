"""Our layer's step on the GPU captured once in a CUDA graph and replayed, which leaves Python out."""

import torch

from studies.gpu_peers.base import layer_step
from studies.peers.base import Workload

REQUIRES = ("triton",)
DTYPES = ("float32", "float64")
ON_TORCH_STREAM = True
MOST_QUBITS = 40


def build(workload: Workload, device: torch.device):
    """The replay of the captured step."""
    step, aside = layer_step(workload, device), torch.cuda.Stream(device)
    aside.wait_stream(torch.cuda.current_stream(device))
    with torch.cuda.stream(aside):
        for _ in range(3):
            step()
    torch.cuda.current_stream(device).wait_stream(aside)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        found = step()

    def replay():
        graph.replay()
        return found

    replay.step = step  # the graph reads weights, inputs and cotangents where they are, and does not hold them

    return replay
