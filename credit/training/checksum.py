"""The digest by which a checkpoint tells that a bit of it has changed."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

CHECKSUM = "checksum"
"""The entry of a file's metadata that is the digest of all else in it."""


def digest(metadata: Mapping[str, str], tensors: Iterable[tuple[str, Tensor]]) -> str:
    """Return the SHA-256 of metadata and named CPU tensors, whatever their order."""
    parts = [json.dumps(metadata, sort_keys=True)]
    for name, tensor in tensors:
        content = hashlib.sha256(tensor.reshape(-1).view(torch.uint8).numpy().data)
        parts.append(f"{name} {tensor.dtype} {tuple(tensor.shape)} {content.hexdigest()}")
    return hashlib.sha256("\n".join(sorted(parts)).encode()).hexdigest()


def opened(path: Path) -> safe_open:
    """Open a file of tensors, for a `with`.

    Raises:
        OSError, SafetensorError: it cannot be read.
    """
    try:
        return safe_open(path, framework="pt")
    except RuntimeError as error:  # of torch, which maps the file after its header has been read
        if path.exists():
            raise
        raise FileNotFoundError(f"{path} was removed while it was opened") from error


def is_whole(path: Path) -> bool:
    """Return whether a file has the digest that it names, or names none, as older ones do.

    Raises:
        OSError, SafetensorError: it cannot be read.
    """
    status = path.stat()
    return _agrees(path, status.st_mtime_ns, status.st_size)


@lru_cache
def _agrees(path: Path, changed_ns: int, size: int) -> bool:
    """`is_whole`; a file that has not changed is read once."""
    with opened(path) as file:
        metadata = file.metadata() or {}
        named = metadata.pop(CHECKSUM, None)
        tensors = ((name, file.get_tensor(name)) for name in file.keys())  # noqa: SIM118
        return named is None or named == digest(metadata, tensors)
