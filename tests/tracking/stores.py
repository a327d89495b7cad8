"""A parent run with its children in a store, and the values that they hold."""

from pathlib import Path

from credit.spec import RunSpec
from credit.tracking.writer import Store, Writer, finish, log_children, open_child, open_parent

SPEC = RunSpec(rule="dfa", k=2, epochs=3)
SPECS = [SPEC.replace(k=k) for k in (0, 1, 2)]
PARAMS = {"rules": "bp,dfa", "ks": "0,1,2", "lr": "0.001", "preset": "quick"}

DATASET = {"name": "cifar10", "digest": "f" * 64, "source": "torchvision.datasets.CIFAR10"}


def parent_of(opened: Store, sweep_hash: str = "abc") -> str:
    return open_parent(opened, "ladder quick", "ladder", PARAMS, sweep_hash, "a short ladder")


def values_at(step: int) -> dict[str, float]:
    return {"loss/train": 2.0 / step, "accuracy/test": 0.1 * step}


def steps_of(opened: Store, run_id: str, key: str = "loss/train") -> list[int]:
    return sorted(m.step for m in opened.client.get_metric_history(run_id, key))


def fill(opened: Store, folder: Path) -> tuple[str, list[str]]:
    """A parent with three children: two finished, one KILLED with fewer epochs."""
    parent = parent_of(opened)
    ids = [open_child(opened, parent, spec, None, DATASET) for spec in SPECS]
    with Writer(opened, folder) as writer:
        for number, run_id in enumerate(ids):
            for step in range(1, 4 - (number == 2)):
                extra = {"alignment/h01": 0.5} if step == 3 else {}
                writer.log(run_id, step, values_at(step) | extra)
        for run_id in ids[:2]:
            writer.finish(run_id)
        writer.finish(ids[2], "KILLED", "stopped")
    log_children(opened, parent, ids)
    finish(opened, parent)
    return parent, ids
