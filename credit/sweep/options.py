"""Options that say where the stacks of a sweep train; they change results by rounding at most."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from credit.errors import CreditError
from credit.spec import check_names, parse_value

NAMES = ("local", "slurm", "ray")


def _option(default: Any, help: str, *launchers: str) -> Any:
    """Return a field; `launchers` are those that read it, none for all."""
    whose = f"{', '.join(launchers)}: " if launchers else ""
    return dataclasses.field(default=default, metadata={"help": whose + help, "only": launchers})


@dataclass(frozen=True)
class Launch:
    """The place where the stacks of a sweep train. No run is known by it."""

    launcher: str = _option("local", f"where stacks train: {', '.join(NAMES)}")
    workers: int = _option(0, "processes that train at once; 0 is one for each device", "local")
    worker_cpus: int = _option(0, "CPU cores of a worker; 0 is an equal share here, 1 elsewhere")
    worker_gpus: int = _option(-1, "GPUs of a worker; -1 is 1 with device=cuda", "slurm", "ray")
    worker_memory_gb: float = _option(0.0, "memory of a worker, or of its GPU; 0 is what is free")
    checkpoints: str = _option("", "folder that all hosts see, or store: the tracking store")
    slurm_partition: str = _option("", "partition of the jobs", "slurm")
    slurm_timeout_min: int = _option(1440, "minutes of a job until it is requeued", "slurm")
    slurm_array_parallelism: int = _option(256, "most jobs at once", "slurm")
    slurm_extra: str = _option("", "further directives, as in account=a,qos=high", "slurm")
    detach: bool = _option(False, "return after submission; the same command collects", "slurm")
    follow: bool = _option(False, "show the progress of a sweep that another command runs")
    take_over: bool = _option(False, "go on with runs that a command elsewhere left RUNNING")
    dry_run: bool = _option(False, "print stacks, memory and hours, and train nothing")

    @classmethod
    def from_options(cls, given: Mapping[str, str]) -> "Launch":
        """Return the launch that options ask for; refuse bad values."""
        kinds = {f.name: type(f.default) for f in dataclasses.fields(cls)}
        values: dict[str, Any] = {k: parse_value(k, kinds[k], v) for k, v in given.items() if v}
        launch = cls(**values)
        check_names([launch.launcher], NAMES, "launcher")
        least = {
            "workers": 0,
            "worker_cpus": 0,
            "worker_gpus": -1,
            "worker_memory_gb": 0,
            "slurm_timeout_min": 5,  # a job is told to save two minutes before
            "slurm_array_parallelism": 1,
        }
        for name, bound in least.items():
            if getattr(launch, name) < bound:
                raise CreditError(f"{name}={getattr(launch, name)}: pass {bound} or more")
        for field in dataclasses.fields(cls):
            only, value = field.metadata["only"], getattr(launch, field.name)
            if only and launch.launcher not in only and value != field.default:
                raise CreditError(f"{field.name} is of launcher={' or '.join(only)}: leave it out")
        if launch.launcher == "slurm" and not (launch.worker_memory_gb or launch.dry_run):
            raise CreditError("launcher=slurm: pass --worker_memory_gb, the memory of a job")
        return launch

    @property
    def here(self) -> bool:
        """Workers are of this machine."""
        return self.launcher == "local"

    def memory(self, device: str, gpus: int) -> int:
        """Return the bytes that a worker has, for runs on a device.

        `gpus` of this machine have workers each; 0 where these share it all.
        """
        if self.worker_memory_gb:
            return int(self.worker_memory_gb * 1e9)
        import torch  # here: --help needs neither

        from credit.sweep import planning

        if device != "cpu" and not torch.cuda.is_available():
            raise CreditError(
                "workers have GPUs and this machine has none: pass --worker_memory_gb, the memory "
                "of a GPU"
            )
        workers = self.workers if self.here else CORES // max(1, self.worker_cpus)
        return planning.memory_free(device) // max(1, -(-workers // max(1, gpus)))

    def hands_out(self, gpus: Sequence[str]) -> bool:
        """Return whether stacks train in other processes than the command's own."""
        return not self.here or self.workers > 1 or bool(gpus)

    def devices(self, device: str) -> tuple[str, list[str]]:
        """Return the device of the runs, and the GPUs of this machine that train them.

        A worker sees one GPU only, its `cuda`; none is named where one process trains. `device` is
        as given: `cuda` or `auto` for all, or several as `cuda:0,cuda:1`.
        """
        names = [name.strip() for name in device.split(",")]
        visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
        import torch

        count = torch.cuda.device_count()
        there = visible.split(",") if visible else [str(i) for i in range(count)]
        if len(names) > 1:
            chosen = [name.removeprefix("cuda:") for name in names]
            wrong = [n for n, i in zip(names, chosen, strict=True) if f"cuda:{i}" != n]
            wrong += [f"cuda:{i}" for i in chosen if not i.isdecimal() or int(i) >= len(there)]
            if wrong or len(set(chosen)) < len(chosen) or not self.here:
                raise CreditError(
                    f"device={device}: name each of this machine's {len(there)} GPUs once, as in "
                    "cuda:0,cuda:1; elsewhere pass cuda"
                )
            return "cuda", [there[int(i)] for i in chosen]
        several = self.here and device in ("cuda", "auto") and count > 1
        return device, there if several else []


CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""CPU cores that this process may use."""
DEFAULTS = {f.name: str(f.default).lower() for f in dataclasses.fields(Launch)}
HELPS = {f.name: f.metadata["help"] for f in dataclasses.fields(Launch)}
