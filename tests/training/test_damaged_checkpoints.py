"""Files that are no checkpoint are refused, and a full disk leaves the old one whole."""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from credit.errors import CreditError
from credit.rules import Shape
from credit.spec import SCHEMA
from credit.training.checkpoint import (
    find,
    network_of,
    previous,
    read_header,
    restore,
    save_run,
    save_stack,
    verify,
)
from credit.training.checksum import CHECKSUM
from credit.training.stack import Stack
from tests.stacks import assert_same_stacks
from tests.training.checkpoints import (
    MIXED,
    SHAPE,
    restored,
    rows_of,
    short_files,
    small_disk,
    trained,
)
from tests.traps import each_trap, refused


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


def assert_none(path: Path, *words: str) -> None:
    """Neither `read_header` nor `find` takes it, in one line that names file and remedy."""
    refused(lambda: read_header(path), str(path), "delete it", *words)
    found, reasons = find(path.parent)
    assert not found
    for reason in map(str, reasons):
        assert "\n" not in reason and str(path) in reason and "delete it" in reason


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_a_truncated_file_is_refused(saved, share):
    os.truncate(saved, int(saved.stat().st_size * share))
    assert_none(saved, "not a readable checkpoint")


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
    stack, rows = Stack(MIXED[:2], SHAPE), [(header, 0), (header, 1)]
    said = refused(lambda: restore(stack, rows), str(saved), "delete it")
    found, reasons = find(saved.parent)
    assert list(map(str, reasons)) == [said]
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


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}, {"schema": SCHEMA, "epoch": "1"}])
def test_safetensors_from_elsewhere_are_refused(saved, metadata):
    save_file({"weight": torch.zeros(3)}, saved, metadata)
    assert_none(saved, "not a readable checkpoint")


@each_trap
@pytest.mark.parametrize("name", ["weights.safetensors", "last.safetensors"])
def test_a_pickle_is_refused_and_not_unpickled(made, name, tmp_path, trap):
    path = tmp_path / name
    path.write_bytes(made(trap))
    assert_none(path, "not a readable checkpoint")
    refused(lambda: network_of(path), name)


def test_another_schema_is_refused(saved):
    rewrite(saved, lambda _, metadata: metadata.update(schema="999"))
    assert_none(saved, "schema 999", f"this is {SCHEMA}")


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
    assert_none(saved)


def test_a_checkpoint_of_another_shape_is_refused(saved):
    header = read_header(saved)
    wide = Shape(12, 10, 5, 2)
    other = Stack([one.replace(width=10) for one in MIXED[:2]], wide)
    named = (str(saved), "param/embed.weight", "(8, 12)", "(10, 12)", "delete it")
    refused(lambda: restore(other, [(header, 0), (header, 1)]), *named)


@pytest.mark.parametrize("name", ["param/embed.bias", "moment2/out_head.weight"])
def test_a_checkpoint_that_lacks_a_tensor_is_refused(saved, name):
    rewrite(saved, lambda values, _: values.pop(name))
    rows, stack = [(read_header(saved), row) for row in (0, 1)], Stack(MIXED[:2], SHAPE)
    refused(lambda: restore(stack, rows), str(saved), name, "delete it")


def assert_unwritable(stack: Stack, path: Path) -> None:
    refused(lambda: save_stack(stack, 2, path), str(path), "free the disk")


def assert_old_one_is_whole(stack: Stack, path: Path) -> None:
    """Still epoch 1 of `stack`, with nothing half-written beside it."""
    assert read_header(path).epoch == 1
    assert_same_stacks(restored(path), stack)
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


@pytest.mark.parametrize("read", [read_header, verify])
def test_a_file_that_goes_between_its_header_and_its_tensors_is_no_crash(saved, read, monkeypatch):
    map_file = torch.UntypedStorage.from_file

    def of_a_file_that_has_gone(filename: str, *args: Any, **more: Any):
        Path(filename).unlink()  # as another process does that has just trained the run to its end
        return map_file(filename, *args, **more)

    monkeypatch.setattr(torch.UntypedStorage, "from_file", of_a_file_that_has_gone)
    refused(lambda: read(saved), str(saved))
    assert not saved.exists() and find(saved.parent) == ({}, [])
