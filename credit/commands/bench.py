"""Time training on this machine: one run, a stack, and what the published ladder would take."""

from credit.commands.base import command, option
from credit.lab.table import terminal

OPTIONS = (
    option("device", "auto", "auto, cpu, cuda or cuda:N"),
    option("precision", "fp32", "fp32, tf32 or bf16"),
)
SAMPLES = 50_000
"""Training samples of CIFAR-10."""


@command("bench", *OPTIONS, doc=__doc__)
def COMMAND(device: str, precision: str) -> None:
    import math

    import pandas as pd

    from credit.networks.kinds import shape_of  # here: --help needs no torch
    from credit.networks.size import SIZES
    from credit.spec import RunSpec
    from credit.sweep.dry_run import step_seconds
    from credit.sweep.sweep import resolve
    from credit.training.cost import costs
    from credit.training.stack import Stack, arrange

    size, rows = SIZES["cifar10"], []
    for what, rules, ks in (
        ("one run, bp k=4", ["bp"], [4]),
        ("15 runs: bp, fa, dfa x 5 k", ["bp", "fa", "dfa"], range(5)),
    ):
        own = [RunSpec(rule=r, k=k, device=device, precision=precision) for r in rules for k in ks]
        specs = arrange([resolve(spec) for spec in own])
        shape = shape_of(specs[0], size.image, size.classes)
        seconds = step_seconds(Stack(specs, shape), specs[0].batch_size) / len(specs)
        flops = sum(costs(spec, shape)["cost/flops_per_step"] for spec in specs) / len(specs)
        epoch = seconds * math.ceil(SAMPLES / specs[0].batch_size)
        rows.append(
            (what, f"{1e3 * seconds:.2f} ms", f"{epoch:.2f} s", f"{flops / seconds / 1e9:.0f}")
        )
    print(terminal(pd.DataFrame(rows, columns=["d=256, L=4", "step of a run", "epoch", "GFLOP/s"])))
    print(f"60 runs of 100 epochs: {60 * 100 * epoch / 3600:.1f} h, measuring not counted")
