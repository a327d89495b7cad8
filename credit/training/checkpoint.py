"""Checkpoints: safetensors and JSON only, written atomically. Loading one never unpickles.

A stack is saved whole, in one file, so that its runs can never be at different epochs on disk. A
run can be restored from any stack file that holds it, in whatever company it trains next.
"""

import contextlib
import json
import os
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from credit.errors import CreditError
from credit.rules import State
from credit.spec import SCHEMA, RunSpec
from credit.training.checksum import CHECKSUM, digest, is_whole, opened
from credit.training.trainable import Trainable

REMEDY = "delete it to start its runs from scratch"


@dataclass(frozen=True)
class Header:
    """What a checkpoint says of itself."""

    path: Path
    epoch: int  # epochs finished
    optimizer_steps: int
    specs: list[RunSpec]  # one per row
    steps: int = 0  # of the next epoch
    seconds: float = 0.0  # that these took

    @property
    def done(self) -> tuple[int, int]:
        """Return how far its runs are: epochs, and steps of the next one."""
        return self.epoch, self.steps


def save_stack(stack: Trainable, epoch: int, path: Path) -> None:
    """Everything the stack needs to go on after `epoch` finished epochs, in one atomic write.

    The file that stood at `path` before is kept as `path.previous.safetensors`, until the next one.
    It is still whole where this one cannot be written (disk full, no permission).
    """
    tensors = _networks(stack)
    for row in range(len(stack.specs)):
        tensors |= {f"state/{row}/{key}": value for key, value in _state(stack, row).items()}
    tally, under_way = stack.tally, {}
    if tally.steps:
        under_way = {"steps": str(tally.steps), "seconds": repr(tally.seconds)}
        tensors |= {"tally/loss": tally.loss, "tally/correct": tally.correct}
        for row in range(len(stack.specs)):
            group, member = stack.group_of(row)
            tensors |= {f"tally/{row}/{key}": v for key, v in group.tally(member).items()}
    _write(tensors, epoch, stack.optimizer_steps, stack.specs, path, under_way, keep=True)


def save_run(stack: Trainable, row: int, epoch: int, folder: Path) -> None:
    """One run's final files, into `folder`.

    `weights.safetensors` (parameters and the rule's state without its optimizer),
    `last.safetensors` (a stack of this one run with its optimizer, to train on from) and
    `spec.json`.
    """
    spec, networks, state = stack.specs[row], _networks(stack), _state(stack, row)
    weights = {name: p[row] for name, p in networks.items() if name.startswith("param/")}
    weights |= {f"state/{key}": v for key, v in state.items() if not key.startswith("moment")}
    _write(weights, epoch, stack.optimizer_steps, [spec], folder / "weights.safetensors")
    last = {name: tensor[row : row + 1] for name, tensor in networks.items()}
    last |= {f"state/0/{key}": value for key, value in state.items()}
    _write(last, epoch, stack.optimizer_steps, [spec], folder / "last.safetensors")
    text = json.dumps({"schema": SCHEMA, **asdict(spec)}, indent=2)
    path = folder / "spec.json"
    with _writing(path):
        path.write_text(text + "\n")


def _networks(stack: Trainable) -> dict[str, Tensor]:
    """Parameters and AdamW's moments of all runs, by their names in a file."""
    tensors = {f"param/{name}": p for name, p in stack.params.items()}
    for name, (first, second) in stack.moments.items():
        tensors |= {f"moment1/{name}": first, f"moment2/{name}": second}
    return tensors


def _state(stack: Trainable, row: int) -> State:
    """Views of what the rule of one run carries."""
    group, member = stack.group_of(row)
    return {key: value[member] for key, value in group.state.items()}


def previous(path: Path) -> Path:
    """Where the checkpoint before that at `path` lies."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def _write(
    tensors: dict[str, Tensor],
    epoch: int,
    steps: int,
    specs: Sequence[RunSpec],
    path: Path,
    more: Mapping[str, str] | None = None,
    keep: bool = False,
) -> None:
    metadata = {
        "schema": SCHEMA,
        "epoch": str(epoch),
        "optimizer_steps": str(steps),
        "specs": json.dumps([spec.to_params() for spec in specs]),
        **(more or {}),
    }
    partial = path.with_name(f".{path.name}.partial")
    whole = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata[CHECKSUM] = digest(metadata, whole.items())
    with _writing(path):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file(whole, partial, metadata)
            with partial.open("rb") as handle:
                os.fsync(handle.fileno())
            if keep and path.exists():
                path.replace(previous(path))
            partial.replace(path)
            _sync_folder(path.parent)
        except (OSError, SafetensorError):
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    """See that the names in a folder outlive a loss of power, where the system can do that."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, SafetensorError) as error:
        raise CreditError(
            f"cannot write checkpoint {path}: {error}; free the disk and run the same command again"
        ) from error


def read_header(path: Path) -> Header:
    """Read what a checkpoint says of itself, no tensor.

    Raises:
        CreditError: not a checkpoint of this project, truncated, or of another schema.
    """
    try:
        with opened(path) as file:
            metadata = file.metadata() or {}
        schema = metadata["schema"]
        if schema != SCHEMA:
            raise CreditError(f"schema {schema}, this is {SCHEMA}")
        specs = [RunSpec.from_mapping(p) for p in json.loads(metadata["specs"])]
        epoch, steps = int(metadata["epoch"]), int(metadata.get("steps", 0))
        seconds = float(metadata.get("seconds", 0))
        return Header(path, epoch, int(metadata["optimizer_steps"]), specs, steps, seconds)
    except (CreditError, OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CreditError(f"{path} is not a readable checkpoint ({error}): {REMEDY}") from error


def find(
    folder: Path, wanted: Container[str] | None = None
) -> tuple[dict[str, tuple[Header, int]], list[CreditError]]:
    """The newest whole checkpoint of every run in `folder`, as (header, row), by spec hash.

    And why files there are none, for each that is not readable or is damaged. `wanted` are the spec
    hashes that are looked for; None is all.
    """
    headers, bad = [], []
    for path in sorted(folder.glob("*.safetensors")):
        try:
            headers.append(read_header(path))
        except CreditError as error:
            if path.exists():  # else another process has just replaced or dropped it
                bad.append(error)
    found: dict[str, tuple[Header, int]] = {}
    for header in sorted(headers, key=lambda header: header.done, reverse=True):
        keys = ((spec.spec_hash, row) for row, spec in enumerate(header.specs))
        sought = ((key, row) for key, row in keys if wanted is None or key in wanted)
        fresh = {key: (header, row) for key, row in sought if key not in found}
        try:
            if fresh:
                verify(header.path)
            found |= fresh
        except CreditError as error:
            if header.path.exists():
                bad.append(error)
    return found, bad


def verify(path: Path) -> None:
    """See that a checkpoint is what was written; one from before there were checksums counts as so.

    Raises:
        CreditError: it is not.
    """
    try:
        whole = is_whole(path)
    except (OSError, SafetensorError) as error:
        raise CreditError(f"{path} is not a readable checkpoint ({error}): {REMEDY}") from error
    if not whole:
        raise CreditError(
            f"{path} is not a readable checkpoint (damaged since it was written: its checksum is "
            f"another): {REMEDY}"
        )


def network_of(path: Path) -> tuple[RunSpec, dict[str, Tensor]]:
    """The spec and the network's parameters of a run, from its `weights.safetensors`."""
    header = read_header(path)
    verify(path)
    with safe_open(path, framework="pt") as file:
        return header.specs[0], _under(file, "param/")


def restore(stack: Trainable, sources: Sequence[tuple[Header, int]]) -> None:
    """Set every run of the stack to its row of a checkpoint. All must be at one step."""
    for header, _ in sources:
        verify(header.path)
    steps = {header.optimizer_steps for header, _ in sources}
    assert len(steps) == 1 and len(sources) == len(stack.specs), (
        "restore rows of one step, one each"
    )
    files = {header.path: safe_open(header.path, framework="pt") for header, _ in sources}
    networks = _networks(stack)
    for row, (header, source) in enumerate(sources):
        file = files[header.path]
        try:
            for name, target in networks.items():
                _copy(file.get_slice(name)[source], target[row], name, header.path)
            for key, target in _state(stack, row).items():
                name = f"state/{source}/{key}"
                _copy(file.get_tensor(name), target, name, header.path)
            if header.steps:
                _restore_tally(stack, row, header, file, source)
        except SafetensorError as error:
            raise CreditError(
                f"checkpoint {header.path} is not whole ({error}): {REMEDY}"
            ) from error
    stack.set_optimizer_steps(steps.pop())


def _restore_tally(
    stack: Trainable, row: int, header: Header, file: safe_open, source: int
) -> None:
    stack.tally.loss[row] = file.get_tensor("tally/loss")[source]
    stack.tally.correct[row] = file.get_tensor("tally/correct")[source]
    stack.tally.steps, stack.tally.seconds = header.steps, header.seconds
    group, member = stack.group_of(row)
    values = _under(file, f"tally/{source}/")
    group.set_tally(member, {name: v.to(stack.device) for name, v in values.items()})


def _under(file: safe_open, prefix: str) -> dict[str, Tensor]:
    """The tensors of a file below a prefix, by the rest of their names."""
    names = [name for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
    return {name.removeprefix(prefix): file.get_tensor(name) for name in names}


def _copy(value: Tensor, target: Tensor, name: str, path: Path) -> None:
    if value.shape != target.shape or value.dtype != target.dtype:
        what, found, needed = "shape", tuple(value.shape), tuple(target.shape)
        if found == needed:
            what, found, needed = "type", value.dtype, target.dtype
        raise CreditError(
            f"checkpoint {path}: {name} has {what} {found}, the run needs {needed}; {REMEDY}"
        )
    with torch.no_grad():
        target.copy_(value)
