"""Checkpoints: what is written comes back bit for bit, and nothing else is taken for one."""

import json
import os
import pickle
import random
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from credit.data import Dataset, load
from credit.errors import CreditError
from credit.networks import resmlp
from credit.randomness import generator
from credit.rules import Shape
from credit.spec import SCHEMA, RunSpec
from credit.training.checkpoint import (
    find,
    network_of,
    previous,
    read_header,
    restore,
    save_run,
    save_stack,
)
from credit.training.checksum import CHECKSUM
from credit.training.loop import train
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


def contents(stack: Stack, row: int) -> dict[str, Tensor]:
    """Every number that a run carries, as copies."""
    run = {f"param/{name}": p[row] for name, p in stack.params.items()}
    for name, (first, second) in stack.moments.items():
        run |= {f"moment1/{name}": first[row], f"moment2/{name}": second[row]}
    run |= {f"state/{key}": value for key, value in stack.rule_state(row).items()}
    return {name: value.clone() for name, value in run.items()}


def assert_same(left: dict[str, Tensor], right: dict[str, Tensor]) -> None:
    assert left.keys() == right.keys()
    for name, value in left.items():
        assert value.dtype == right[name].dtype, name
        assert torch.equal(value, right[name]), name


def assert_same_stacks(left: Stack, right: Stack) -> None:
    assert left.optimizer_steps == right.optimizer_steps
    for row in range(left.size):
        assert_same(contents(left, row), contents(right, row))


def rows_of(path: Path, specs: list[RunSpec]) -> list:
    found, _ = find(path.parent)
    return [found[one.spec_hash] for one in specs]


# ------------------------------------------------------------------ round trips


@pytest.mark.parametrize("precision", ["fp32", "fp64"])
def test_a_stack_comes_back_bit_for_bit(tmp_path, precision):
    specs = [one.replace(precision=precision) for one in MIXED]
    stack = trained(specs)
    path = tmp_path / "new" / "folder" / "stack.safetensors"
    save_stack(stack, 5, path)
    header = read_header(path)
    assert (header.path, header.epoch, header.optimizer_steps) == (path, 5, 3)
    assert header.specs == specs
    again = Stack(specs, SHAPE)
    restore(again, rows_of(path, specs))
    assert_same_stacks(again, stack)


def test_a_restored_stack_goes_on_bit_for_bit(tmp_path):
    """Moments, bias correction and frozen blocks included."""
    stack = trained()
    save_stack(stack, 1, tmp_path / "stack.safetensors")
    again = Stack(MIXED, SHAPE)
    again.set_lr(1e-2)
    restore(again, rows_of(tmp_path / "stack.safetensors", MIXED))
    for one in (stack, again):
        steps(one, 3, first=3)
    assert_same_stacks(again, stack)


def test_saving_changes_nothing_and_replaces_the_old_file(tmp_path):
    stack, untouched = trained(), trained()
    path = tmp_path / "stack.safetensors"
    save_stack(stack, 1, path)
    assert_same_stacks(stack, untouched)
    steps(stack, 1, first=3)
    save_stack(stack, 2, path)
    assert read_header(path).epoch == 2
    assert {p.name for p in tmp_path.iterdir()} == {path.name, previous(path).name}
    assert read_header(previous(path)).epoch == 1
    again = Stack(MIXED, SHAPE)
    restore(again, rows_of(path, MIXED))
    assert_same_stacks(again, stack)


@pytest.fixture(scope="module")
def digits() -> Dataset:
    return load("digits", train_samples=300)


@pytest.mark.parametrize("seeds", [(1,), (1, 2)], ids=["one seed", "two seeds"])
def test_two_epochs_and_two_more_are_four_bit_for_bit(tmp_path, digits, seeds):
    """In fp32, on real data with augmentation, in a new stack that starts from the file alone."""
    specs = arrange(
        [
            spec(rule=rule, k=k, seed=seed, dataset="digits", epochs=4, measure_samples=16)
            for rule, k in (("bp", 2), ("oracle", 1), ("fa", 2), ("dfa", 2), ("dfa", 0))
            for seed in seeds
        ]
    )
    shape = Shape(digits.d_in, 8, digits.classes, 2)

    through = Stack(specs, shape)
    records = list(train(through, digits))

    first = Stack(specs, shape)
    epochs = train(first, digits)
    begun = [next(epochs), next(epochs)]
    path = tmp_path / "stack.safetensors"
    save_stack(first, 2, path)
    epochs.close()

    second = Stack(specs, shape)
    restore(second, rows_of(path, specs))
    begun += list(train(second, digits, start_epoch=read_header(path).epoch))

    assert_same_stacks(second, through)
    assert any(not torch.equal(contents(first, 0)[n], v) for n, v in contents(through, 0).items())
    for ours, expected in zip(begun, records, strict=True):
        for one, other in zip(ours, expected, strict=True):
            assert (one.row, one.epoch, one.layers) == (other.row, other.epoch, other.layers)
            timeless = [
                {k: v for k, v in record.metrics.items() if not k.startswith("time/")}
                for record in (one, other)
            ]
            assert timeless[0] == timeless[1] and len(timeless[0]) >= 3


def test_a_run_comes_back_in_other_company(tmp_path):
    """From several files, in another order, beside runs it did not train with before."""
    runs = [one.replace(precision="fp64") for one in MIXED]
    left, right = trained(runs[:4]), trained(runs[4:])
    save_stack(left, 2, tmp_path / "left.safetensors")
    save_stack(right, 2, tmp_path / "right.safetensors")
    before = {
        one.spec_hash: contents(stack, row)
        for stack in (left, right)
        for row, one in enumerate(stack.specs)
    }
    mixed = arrange([runs[1], runs[3], runs[5], runs[-1]])
    stack = Stack(mixed, SHAPE)
    stack.set_lr(1e-2)
    restore(stack, rows_of(tmp_path / "left.safetensors", mixed))
    for row, one in enumerate(mixed):
        assert_same(contents(stack, row), before[one.spec_hash])
    for one in (stack, left):
        steps(one, 2, first=3)
    moved = contents(stack, mixed.index(runs[1]))
    for name, value in contents(left, 1).items():
        torch.testing.assert_close(moved[name], value, rtol=1e-6, atol=1e-9)


def test_the_newest_checkpoint_of_a_run_is_found(tmp_path):
    stack = trained()
    for name, epoch in (("a", 3), ("b", 9), ("c", 6)):
        save_stack(stack, epoch, tmp_path / f"{name}.safetensors")
    found, _ = find(tmp_path)
    assert found.keys() == {one.spec_hash for one in MIXED}
    for row, one in enumerate(MIXED):
        header, source = found[one.spec_hash]
        assert (header.path.name, header.epoch, source) == ("b.safetensors", 9, row)
    assert find(tmp_path / "absent") == ({}, [])


# ------------------------------------------------------------------ one run's files


@pytest.mark.parametrize("row", range(len(MIXED)))
def test_a_finished_run_keeps_its_weights_feedback_and_spec(tmp_path, row):
    stack, one = trained(), MIXED[row]
    save_run(stack, row, 4, tmp_path / "checkpoint")
    expected = contents(stack, row)

    weights = load_file(tmp_path / "checkpoint" / "weights.safetensors")
    assert_same(weights, {n: v for n, v in expected.items() if not n.startswith("moment")})
    assert ("state/feedback" in weights) == (one.rule in ("fa", "dfa"))

    saved = json.loads((tmp_path / "checkpoint" / "spec.json").read_text())
    assert saved.pop("schema") == SCHEMA
    assert RunSpec.from_mapping(saved) == one
    assert RunSpec.from_mapping(saved).spec_hash == one.spec_hash

    last = tmp_path / "checkpoint" / "last.safetensors"
    header = read_header(last)
    assert (header.epoch, header.optimizer_steps, header.specs) == (4, 3, [one])
    alone = Stack([one], SHAPE)
    restore(alone, [(header, 0)])
    assert_same(contents(alone, 0), expected)
    assert alone.optimizer_steps == stack.optimizer_steps


def test_weights_alone_give_the_trained_network(tmp_path):
    stack = trained()
    save_run(stack, 0, 4, tmp_path)
    weights = load_file(tmp_path / "weights.safetensors")
    params = {n.removeprefix("param/"): v for n, v in weights.items() if n.startswith("param/")}
    x = torch.randn(4, SHAPE.d_in, generator=generator(0, "test"))
    logits = resmlp.forward(stack.params, x).logits[0]
    torch.testing.assert_close(resmlp.forward(params, x).logits, logits, rtol=1e-5, atol=1e-6)


# ------------------------------------------------------------------ files that are none


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "stack.safetensors"
    save_stack(trained(MIXED[:2]), 2, path)
    return path


def rewrite(path: Path, change: Callable[[dict[str, Tensor], dict[str, str]], None]) -> None:
    """Save the file again, without checksum, after `change` has worked on tensors and metadata."""
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
    del metadata[CHECKSUM]
    values = {name: value.clone() for name, value in load_file(path).items()}  # not of the file
    change(values, metadata)
    save_file(values, path, metadata)


def refused(path: Path, *words: str) -> None:
    """Neither `read_header` nor `find` takes it, in one line that names file and remedy."""
    with pytest.raises(CreditError) as caught:
        read_header(path)
    found, reasons = find(path.parent)
    assert not found
    for message in (str(caught.value), *map(str, reasons)):
        assert "\n" not in message
        for word in (str(path), "delete it", *words):
            assert word in message


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(saved, share):
    os.truncate(saved, int(saved.stat().st_size * share))
    refused(saved, "not a readable checkpoint")


def test_a_checkpoint_from_before_there_were_checksums_is_taken(saved):
    rewrite(saved, lambda _, metadata: None)
    stack = Stack(MIXED[:2], SHAPE)
    restore(stack, rows_of(saved, MIXED[:2]))
    assert_same_stacks(stack, trained(MIXED[:2]))


@pytest.mark.parametrize("bits", [1, 200])
def test_flipped_bits_are_found_and_the_one_before_is_taken(saved, bits):
    save_stack(trained(MIXED[:2], n=4), 3, saved)
    content = bytearray(saved.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")  # of the tensors
    source = random.Random(bits)
    for place in source.sample(range(start, len(content)), bits):
        content[place] ^= 1 << source.randrange(8)
    saved.write_bytes(content)
    header = read_header(saved)  # which says nothing of it
    with pytest.raises(CreditError, match="delete it") as caught:
        restore(Stack(MIXED[:2], SHAPE), [(header, 0), (header, 1)])
    found, reasons = find(saved.parent)
    assert [str(reason) for reason in reasons] == [str(caught.value)]
    assert str(saved) in str(caught.value) and "\n" not in str(caught.value)
    assert {(h.path, h.epoch) for h, _ in found.values()} == {(previous(saved), 2)}
    assert len(found) == 2


@pytest.mark.parametrize("key", ["epoch", "optimizer_steps"])
def test_metadata_that_changed_are_found(saved, key):
    name = f'"{key}":"'.encode()
    content = saved.read_bytes()
    place = content.index(name) + len(name)
    saved.write_bytes(content[:place] + b"9" + content[place + 1 :])
    assert find(saved.parent)[0] == {}


def test_weights_that_changed_are_no_network(tmp_path):
    save_run(trained(MIXED[:2]), 0, 2, tmp_path)
    path = tmp_path / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(CreditError, match="checksum"):
        network_of(path)


def test_a_file_of_text_is_refused(saved):
    saved.write_text("<html>404</html>" * 100)
    refused(saved, "not a readable checkpoint")


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"schema": SCHEMA, "epoch": "1"}])
def test_safetensors_from_elsewhere_are_refused(saved, metadata):
    save_file({"weight": torch.zeros(3)}, saved, metadata)
    refused(saved, "not a readable checkpoint")


class Payload:
    """Unpickling this makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self):
        return os.mkdir, (str(self.folder),)


@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch.save"])
def test_a_pickle_is_refused_and_not_unpickled(saved, tmp_path, write):
    trap = tmp_path / "unpickled"
    with saved.open("wb") as file:
        write({"param/embed.weight": torch.zeros(3), "specs": Payload(trap)}, file)
    refused(saved, "not a readable checkpoint")
    assert not trap.exists()
    with saved.open("rb") as file:  # the trap does work
        if write is pickle.dump:
            pickle.load(file)
        else:
            torch.load(file, weights_only=False)
    assert trap.is_dir()


def test_another_schema_is_refused(saved):
    rewrite(saved, lambda _, metadata: metadata.update(schema="999"))
    refused(saved, "schema 999", f"this is {SCHEMA}")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("epoch", "two"),
        ("optimizer_steps", ""),
        ("specs", "not json"),
        ("specs", "3"),
        ("specs", "[3]"),
        ("specs", '[{"kk": "1"}]'),
        ("specs", '[{"k": "-1"}]'),
    ],
)
def test_unreadable_metadata_are_refused(saved, key, value):
    rewrite(saved, lambda _, metadata: metadata.update({key: value}))
    refused(saved)


def test_a_checkpoint_of_another_shape_is_refused(saved):
    header = read_header(saved)
    wide = Shape(12, 10, 5, 2)
    other = Stack([one.replace(width=10) for one in MIXED[:2]], wide)
    with pytest.raises(CreditError) as caught:
        restore(other, [(header, 0), (header, 1)])
    message = str(caught.value)
    assert "\n" not in message
    for word in (str(saved), "param/embed.weight", "(8, 12)", "(10, 12)", "delete it"):
        assert word in message


@pytest.mark.parametrize("name", ["param/embed.bias", "moment2/out_head.weight"])
def test_a_checkpoint_that_lacks_a_tensor_is_refused(saved, name):
    rewrite(saved, lambda values, _: values.pop(name))
    header = read_header(saved)
    with pytest.raises(CreditError, match="delete it") as caught:
        restore(Stack(MIXED[:2], SHAPE), [(header, 0), (header, 1)])
    assert str(saved) in str(caught.value) and name in str(caught.value)


# ------------------------------------------------------------------ disks that are full


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


def assert_unwritable(stack: Stack, path: Path) -> None:
    with pytest.raises(CreditError) as caught:
        save_stack(stack, 2, path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message and "free the disk" in message


def assert_old_one_is_whole(stack: Stack, path: Path) -> None:
    """Still epoch 1 of `stack`, with nothing half-written beside it."""
    assert read_header(path).epoch == 1
    again = Stack(MIXED, SHAPE)
    restore(again, rows_of(path, MIXED))
    assert_same_stacks(again, stack)
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_a_full_disk_leaves_the_old_checkpoint_whole(tmp_path):
    stack = trained()
    save_stack(stack, 1, tmp_path / "measure.safetensors")
    size = (tmp_path / "measure.safetensors").stat().st_size
    path = tmp_path / "disk" / "stack.safetensors"
    with small_disk(path.parent, int(1.5 * size)):
        save_stack(stack, 1, path)
        newer = trained(n=4)
        assert_unwritable(newer, path)
        assert_old_one_is_whole(stack, path)


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_write_cut_short_leaves_the_old_checkpoint_whole(tmp_path, share):
    stack, newer = trained(), trained(n=4)
    path = tmp_path / "state" / "stack.safetensors"
    save_stack(stack, 1, path)
    with short_files(int(path.stat().st_size * share)):
        assert_unwritable(newer, path)
    assert_old_one_is_whole(stack, path)
    save_stack(newer, 2, path)  # once there is room again
    assert read_header(path).epoch == 2


def test_a_run_s_files_say_when_they_cannot_be_written(tmp_path):
    with short_files(1000), pytest.raises(CreditError, match="cannot write checkpoint"):
        save_run(trained(), 0, 2, tmp_path / "checkpoint")


@pytest.mark.parametrize("save", ["stack", "run"])
def test_a_folder_that_cannot_be_made_is_a_credit_error(tmp_path, save):
    stack, path = trained(), tmp_path / "file" / "checkpoint"
    path.parent.touch()
    with pytest.raises(CreditError, match="cannot write checkpoint"):
        save_stack(stack, 1, path) if save == "stack" else save_run(stack, 0, 1, path)


def test_a_disk_without_room_for_the_spec_is_a_credit_error(tmp_path):
    stack = trained()
    save_run(stack, 0, 1, tmp_path / "measure")
    page = os.sysconf("SC_PAGESIZE")
    pages = [-(-p.stat().st_size // page) for p in (tmp_path / "measure").glob("*.safetensors")]
    with small_disk(tmp_path / "disk", sum(pages) * page), pytest.raises(CreditError):
        save_run(stack, 0, 1, tmp_path / "disk")
