"""Options that say where the stacks of a sweep train; no result depends on them."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from credit.errors import CreditError
from credit.spec import check_names, parse_value

NAMES = ("local", "slurm", "ray")


def _option(default: Any, help: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class Launch:
    """How a sweep is launched. No result depends on it, and no run is known by it."""

    launcher: str = _option("local", f"where stacks train: {', '.join(NAMES)}")
    workers: int = _option(0, "local: processes that train at once; 0 is one for each device")
    worker_cpus: int = _option(0, "CPU cores of a worker; 0 is an equal share here, 1 elsewhere")
    worker_gpus: int = _option(-1, "slurm, ray: GPUs of a worker; -1 is 1 with device=cuda, else 0")
    worker_memory_gb: float = _option(0.0, "memory of a worker; 0 is what is free here")
    checkpoints: str = _option("", "folder that all hosts see, or store: the tracking store")
    slurm_partition: str = _option("", "slurm: partition of the jobs")
    slurm_timeout_min: int = _option(1440, "slurm: minutes a job may run before it is requeued")
    slurm_array_parallelism: int = _option(256, "slurm: most jobs at once")
    slurm_extra: str = _option("", "slurm: further directives, as in account=a,qos=high")
    detach: bool = _option(False, "slurm: return after submission; the same command collects")
    follow: bool = _option(False, "show the progress of a sweep that another command runs")
    take_over: bool = _option(False, "go on with runs that a command elsewhere left RUNNING")
    dry_run: bool = _option(False, "print stacks, memory and hours, and train nothing")

    @classmethod
    def from_options(cls, given: Mapping[str, str]) -> "Launch":
        """Return the launch that options ask for.

        Raises:
            CreditError: a value is of another type, out of bounds or unknown.
        """
        kinds = {f.name: type(f.default) for f in dataclasses.fields(cls)}
        values: dict[str, Any] = {k: parse_value(k, kinds[k], v) for k, v in given.items() if v}
        launch = cls(**values)
        check_names([launch.launcher], NAMES, "launcher")
        for name, least in {"workers": 0, "worker_cpus": 0, "slurm_timeout_min": 1}.items():
            if getattr(launch, name) < least:
                raise CreditError(f"{name}={getattr(launch, name)}: pass {least} or more")
        if launch.detach and launch.launcher != "slurm":
            raise CreditError(f"detach=true is for launcher=slurm, not {launch.launcher}")
        return launch

    @property
    def here(self) -> bool:
        """Workers are of this machine."""
        return self.launcher == "local"

    def memory(self, device: str) -> int:
        """Return the bytes that a worker has.

        Raises:
            CreditError: it is not given, and this machine has no such device.
        """
        if self.worker_memory_gb:
            return int(self.worker_memory_gb * 1e9)
        import torch

        from credit.sweep import planning

        if device != "cpu" and not torch.cuda.is_available():
            raise CreditError(
                "workers have GPUs and this machine has none: pass --worker_memory_gb, the memory "
                "of one of theirs"
            )
        share = max(1, self.workers) if self.here and device == "cpu" else 1
        return planning.memory_free(device) // share

    @property
    def uploads(self) -> bool:
        """Checkpoints go to the tracking store."""
        return self.checkpoints == "store"

    def devices(self, device: str) -> tuple[str, list[str]]:
        """Return the device of the runs, and the GPUs of this machine that train them.

        A worker sees one GPU only, its `cuda`. No GPU is named where one process trains.

        Args:
            device: as given, `cuda` or `auto` for all, or several as `cuda:0,cuda:1`.
        """
        names = [name.strip() for name in device.split(",")]
        if len(names) > 1:
            if not all(name.startswith("cuda:") for name in names):
                raise CreditError(f"device={device}: several devices are cuda:0,cuda:1 and so on")
            return "cuda", [name.removeprefix("cuda:") for name in names]
        import torch  # here: --help needs none

        count = torch.cuda.device_count() if self.here and device in ("cuda", "auto") else 0
        return device, [str(i) for i in range(count)] if count > 1 else []


DEFAULTS = {f.name: str(f.default).lower() for f in dataclasses.fields(Launch)}
HELPS = {f.name: f.metadata["help"] for f in dataclasses.fields(Launch)}
