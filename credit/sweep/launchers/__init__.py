"""Launchers: where the stacks of a sweep train, one file each."""

from collections.abc import Sequence

from credit.spec import RunSpec
from credit.sweep.launchers.base import Launcher
from credit.sweep.options import CORES, Launch


def launcher(launch: Launch, specs: Sequence[RunSpec], devices: Sequence[str]) -> Launcher | None:
    """Return the launcher of a sweep, or refuse it; None is this process itself."""
    on_gpu = any(spec.device.startswith("cuda") for spec in specs)
    gpus = launch.worker_gpus if launch.worker_gpus >= 0 else int(on_gpu)
    if launch.launcher == "slurm":
        from credit.sweep.launchers.slurm import Slurm  # here: an optional dependency

        return Slurm(launch, gpus)
    if launch.launcher == "ray":
        from credit.sweep.launchers.ray import Ray  # here: an optional dependency

        return Ray(launch, gpus)
    workers = launch.workers or len(devices) or 1
    if workers == 1 and not devices:
        return None
    from credit.sweep.launchers.local import Workers  # here: most sweeps have one process

    cpus = launch.worker_cpus or max(1, CORES // workers)
    return Workers(workers, cpus, devices)
