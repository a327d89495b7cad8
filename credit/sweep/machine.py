"""The machine that trains a run, as tags: torch's version, the device's name, CPU threads."""

import platform
import re
from functools import lru_cache
from pathlib import Path

import torch

from credit.tracking.marks import DEVICE, THREADS, TORCH


@lru_cache
def tags(device: str) -> dict[str, str]:
    """Return the tags of runs that this process trains on a device: `cpu`, `cuda`, `cuda:N`."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else processor()
    return {TORCH: torch.__version__, DEVICE: name, THREADS: str(torch.get_num_threads())}


def processor() -> str:
    """Return what the CPU is called."""
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:  # not a Linux
        found = None
    return found[1] if found else platform.processor() or platform.machine()
