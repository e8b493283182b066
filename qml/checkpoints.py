"""A checkpoint is one file from which training goes on to the same bits; it is replaced as a whole or not at all.

Checkpoints and models hold tensors, numbers, text, lists and dicts only and are read with `weights_only=True`: opening
one of unknown origin runs no code.
"""

import hashlib
import io
import os
import warnings
from pathlib import Path

import numpy as np
import torch

from circuits.errors import LabError

FORMAT = 1


def fingerprint(*arrays: np.ndarray) -> str:
    """A SHA-256 of the arrays' shapes, types and values."""
    digest = hashlib.sha256()
    for array in arrays:
        array = np.ascontiguousarray(array)
        digest.update(f"{array.shape}{array.dtype.str}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write(path: Path, content: dict) -> None:
    """Replace the file by `content` in one step; killed at any moment, the old file or the new one is there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        torch.save({"format": FORMAT, **content}, stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def read(path: Path, kind: str, remedy: str) -> dict:
    """What `write` wrote.

    Args:
        kind: "checkpoint" or "model", what the file should be.
        remedy: what to write instead, the end of the error's line.

    Raises:
        LabError: the file is missing, damaged, no such file of ours, or of a newer version.
    """
    if not path.exists():
        raise LabError(f"no {kind} at {path}: {remedy}")
    stored = io.BytesIO(path.read_bytes())
    try:
        with warnings.catch_warnings(action="ignore"):  # about old pickles; the error below says enough
            content = torch.load(stored, map_location="cpu", weights_only=True)
    except Exception:  # what PyTorch raises on a damaged file depends on where the damage is
        raise LabError(f"{path} is damaged or is not a {kind}: {remedy}") from None
    if not isinstance(content, dict) or content.get("kind") != kind:
        raise LabError(f"{path} is not a {kind}: {remedy}")
    if content.get("format") != FORMAT:
        found = content.get("format")
        raise LabError(f"{path} is a {kind} of format {found}, this version reads {FORMAT}: {remedy}")
    return content


class Checkpoint:
    """Where one training run keeps its state after every epoch.

    Args:
        path: the file.
        settings: everything besides the data that decides the result, as numbers, text and None.
        data: `fingerprint` of the training data.
    """

    REMEDY = "--restart begins again, --out FOLDER keeps both"

    def __init__(self, path: str | os.PathLike, settings: dict, data: str):
        self.path, self.settings, self.data = Path(path), settings, data

    def restore(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> list[list[float]]:
        """Put network and optimizer where the last finished epoch left them; nothing happens if there is no file.

        Returns:
            The history that was saved with them.

        Raises:
            LabError: the file belongs to other settings or other data, or is damaged.
        """
        if not self.path.exists():
            return []
        content = read(self.path, "checkpoint", self.REMEDY)
        self._compare(content)
        network.load_state_dict(content["network"])
        for (
            name,
            buffer,
        ) in network.named_buffers():  # a layer's stream of shots is a buffer outside the state dict
            buffer.copy_(content["buffers"][name])
        optimizer.load_state_dict(content["optimizer"])
        return content["history"]

    def save(self, network: torch.nn.Module, optimizer: torch.optim.Optimizer, history: list) -> None:
        """Replace the file by the present state."""
        content = {
            "kind": "checkpoint",
            "settings": self.settings,
            "data": self.data,
            "history": [list(epoch) for epoch in history],
            "network": network.state_dict(),
            "buffers": dict(network.named_buffers()),
            "optimizer": optimizer.state_dict(),
        }
        write(self.path, content)

    def _compare(self, content: dict) -> None:
        then = content["settings"]
        for name in sorted({*then, *self.settings}):
            if then.get(name) != self.settings.get(name):
                raise LabError(
                    f"the checkpoint {self.path} was made with {name} {then.get(name)!r}, this run has "
                    f"{self.settings.get(name)!r}: {self.REMEDY}"
                )
        if content["data"] != self.data:
            raise LabError(f"the checkpoint {self.path} was made from other training data: {self.REMEDY}")
