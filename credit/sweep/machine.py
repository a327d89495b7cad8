"""The machine that trains a run: its tags, and what its control group leaves of its memory."""

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


def group_free() -> list[int]:
    """Return what memory the limits of the process's control group (v2) and its parents leave."""
    root = Path("/sys/fs/cgroup")
    try:
        path = Path("/proc/self/cgroup").read_text().rpartition("0::/")[2].strip()
    except OSError:
        return []
    free = []
    for group in (root / path, *(root / path).parents):
        if not group.is_relative_to(root):
            break
        try:
            limit = (group / "memory.max").read_text().strip()
            stat = dict(line.split() for line in (group / "memory.stat").open())
            used = int((group / "memory.current").read_text()) - int(stat["inactive_file"])
        except (OSError, ValueError, KeyError):  # no limit at this level
            continue
        if limit != "max":
            free.append(max(0, int(limit) - used))
    return free
