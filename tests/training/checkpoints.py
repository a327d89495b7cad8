"""Stacks that are saved and come back, and disks without room for them."""

import os
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from credit.randomness import generator
from credit.rules import Shape
from credit.spec import RunSpec
from credit.training.checkpoint import find, restore
from credit.training.stack import Stack, arrange

SHAPE = Shape(12, 8, 5, 2)  # D, d, C, L


def spec(**changes) -> RunSpec:
    base = {"width": 8, "depth": 2, "k": 2, "device": "cpu", "credit_reduction": "mean"}
    return RunSpec(**{**base, **changes})


MIXED = arrange(
    [
        *(spec(rule=rule, k=k) for rule in ("bp", "oracle", "fa", "dfa") for k in (0, 2)),
        spec(rule="fa", seed=7, k=1),
        spec(rule="dfa", penalty=0.1, credit_eps=0.01, credit_reduction="sum"),
    ]
)


def steps(stack: Stack, n: int, first: int = 0) -> None:
    """Train on n batches, each named by its number."""
    for step in range(first, first + n):
        source = generator(step, "test batch")
        x = torch.randn(6, stack.shape.d_in, generator=source).to(stack.dtype)
        y = torch.randint(stack.shape.classes, (6,), generator=source)
        if len(stack.seeds) > 1:
            x, y = x.expand(len(stack.seeds), -1, -1), y.expand(len(stack.seeds), -1)
        stack.step(x, y)


def trained(specs: list[RunSpec] = MIXED, n: int = 3, shape: Shape = SHAPE) -> Stack:
    stack = Stack(specs, shape)
    stack.set_lr(1e-2)
    steps(stack, n)
    return stack


def rows_of(path: Path, specs: list[RunSpec]) -> list:
    """Where `restore` finds these runs."""
    found, _ = find(path.parent)
    return [found[one.spec_hash] for one in specs]


def restored(path: Path, specs: list[RunSpec] = MIXED, shape: Shape = SHAPE) -> Stack:
    stack = Stack(specs, shape)
    stack.set_lr(1e-2)
    restore(stack, rows_of(path, specs))
    return stack


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    """Mount a file system of `size` bytes on `folder`; skips the test where that is not allowed."""
    folder.mkdir(parents=True)
    mounted = (
        shutil.which("mount")
        and os.geteuid() == 0
        and subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("this process may not mount a small file system")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def short_files(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes (Python ignores the signal for it)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
