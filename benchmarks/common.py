"""What the benchmarks share: what they run on, and how they time."""

import platform
import time
from collections.abc import Callable
from pathlib import Path

import torch


def hardware(device: torch.device | str) -> str:
    """The GPU, or the CPU and how many of its threads torch uses."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    if (info := Path("/proc/cpuinfo")).exists():
        models = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = models[0].partition(": ")[2] if models else name
    threads = torch.get_num_threads()
    return f"{threads} thread{'s' * (threads > 1)}, {name}"


def seconds_of(work: Callable[[], object], device: torch.device | str) -> float:
    """Wall time of `work`, all that it gave to a GPU included."""

    def wait() -> None:
        if torch.device(device).type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    started = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - started
