"""Datasets and their files: what they hold, where they are, and what is refused."""

import io
import socket
import tarfile

import pytest
import torch

from credit.data import NAMES, Dataset, DataUnavailable, fallback, load, loading
from credit.data.batches import train_batches
from credit.data.loading import data_root
from credit.errors import CreditError
from credit.spec import RunSpec
from tests.data.slow import F32, F64, assert_same_batches, slow_batches
from tests.traps import pickled, refused


def test_the_spec_and_the_loader_know_the_same_datasets():
    knob = RunSpec.__dataclass_fields__["dataset"]
    assert set(knob.metadata["one_of"]) == {*NAMES, *loading.ELSEWHERE}


def check_constants(data: Dataset) -> None:
    values = torch.arange(256, dtype=F64) / 255
    for channel, mean, std in zip(range(len(data.mean)), data.mean, data.std, strict=True):
        counts = data.train_images[:, channel].flatten().bincount(minlength=256)
        share = counts.to(F64) / counts.sum()
        found = float(share @ values)
        assert found == pytest.approx(mean, abs=1e-4)
        assert float(share @ (values - found) ** 2) ** 0.5 == pytest.approx(std, abs=1e-4)


def test_digits(monkeypatch):
    monkeypatch.setenv("CREDIT_DATA", "/nowhere")  # digits need no directory
    data = load("digits")
    assert data.train_images.shape == (1437, 1, 8, 8)
    assert data.test_images.shape == (360, 1, 8, 8)
    assert data.train_images.dtype == torch.uint8
    assert data.train_labels.dtype == torch.int64
    assert (data.d_in, data.n_train, data.classes, data.flip) == (64, 1437, 10, False)
    assert int(data.train_images.max()) == 255
    assert data.train_labels.unique().tolist() == data.test_labels.unique().tolist()
    assert data.digest == "eaa9834de03c5a5a"
    check_constants(data)
    assert_same_batches(
        train_batches(data, [42], 0, 128, True, F32), slow_batches(data, 42, 0, 128, True, F32)
    )


@pytest.mark.parametrize(("name", "count"), [("digits", 1437), ("teacher", 10_000)])
def test_train_samples_keeps_the_first(name, count):
    whole, few = load(name), load(name, train_samples=100)
    assert torch.equal(few.train_images, whole.train_images[:100])
    assert torch.equal(few.train_labels, whole.train_labels[:100])
    assert torch.equal(few.test_images, whole.test_images)
    assert few.n_train == 100
    assert few.digest != whole.digest
    assert few.digest == load(name, train_samples=100).digest
    for wrong in (count + 1, -1):
        refused(lambda n=wrong: load(name, train_samples=n), f"train_samples={wrong}", str(count))


def test_cifar10(cifar):
    assert cifar.train_images.shape == (50_000, 3, 32, 32)
    assert cifar.test_images.shape == (10_000, 3, 32, 32)
    assert cifar.train_labels[:5].tolist() == [6, 9, 9, 4, 1]
    assert cifar.test_labels[:5].tolist() == [3, 8, 8, 0, 6]
    assert cifar.train_labels.bincount().tolist() == [5000] * 10
    assert cifar.test_labels.bincount().tolist() == [1000] * 10
    assert cifar.train_images[0, :, 0, 0].tolist() == [59, 62, 63]
    assert (cifar.pad, cifar.flip, cifar.d_in) == (4, True, 3072)
    assert cifar.digest == "9048fcbac9c08a64"
    check_constants(cifar)


def test_cifar10_batches(cifar):
    few = load("cifar10", train_samples=300)
    assert torch.equal(few.train_images, cifar.train_images[:300])
    assert_same_batches(
        train_batches(few, [42], 9, 128, True, F32), slow_batches(few, 42, 9, 128, True, F32)
    )


@pytest.fixture(scope="module")
def cifar(cifar_root) -> Dataset:
    return load("cifar10", root=cifar_root)


def test_unknown_dataset():
    for call in (load, fallback):
        refused(lambda c=call: c("cifar"), "'cifar'", "'cifar10'")


def test_where_the_data_directory_is(monkeypatch, tmp_path):
    missing = tmp_path / "missing"
    monkeypatch.setenv("CREDIT_DATA", str(missing))
    for call in (load, fallback):
        with pytest.raises(CreditError, match=f"CREDIT_DATA={missing}") as caught:
            call("cifar10")
        assert not isinstance(caught.value, DataUnavailable)
    assert not missing.exists()
    monkeypatch.setenv("CREDIT_DATA", str(tmp_path))
    assert data_root() == tmp_path
    assert data_root(missing) == missing
    monkeypatch.delenv("CREDIT_DATA")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "clone/credit/data/loading.py"))
    (tmp_path / "clone").mkdir()
    (tmp_path / "clone/MLproject").touch()
    assert data_root() == tmp_path / "cache/credit"
    (tmp_path / "here/data").mkdir()
    assert data_root() == tmp_path / "here/data"
    (tmp_path / "clone/data").mkdir()
    assert data_root() == tmp_path / "clone/data"


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_no_network(name, no_network, tmp_path):
    with pytest.raises(DataUnavailable) as caught:
        load(name, root=tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (name, str(tmp_path), "refused", "CREDIT_DATA", "--dataset digits"):
        assert part in message
    assert list(tmp_path.iterdir()) == []
    assert fallback(name, tmp_path)[:2] == ("digits", message)
    assert fallback("digits") == ("digits", None)
    assert socket.getdefaulttimeout() is None


def test_a_root_that_is_a_file(tmp_path, no_network):
    (tmp_path / "data").write_text("")
    with pytest.raises(DataUnavailable, match="data and could not be downloaded"):
        load("cifar10", root=tmp_path / "data")


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.mkdir(parents=True)  # a directory in its place
    refused(lambda: load("cifar10", root=tmp_path), str(path))


FOLDER = "cifar-10-batches-py"


def test_the_folder_of_cifar_itself_is_understood(cifar_root, monkeypatch):
    monkeypatch.setenv("CREDIT_DATA", str(cifar_root / FOLDER))
    data = load("cifar10", train_samples=100)
    assert tuple(data.train_images.shape) == (100, 3, 32, 32)


def test_a_file_that_is_missing_is_named(cifar_root, tmp_path, no_network):
    (tmp_path / FOLDER).mkdir()
    for file in BATCHES:
        if file != "data_batch_3":
            (tmp_path / FOLDER / file).symlink_to((cifar_root / FOLDER / file).resolve())
    with pytest.raises(DataUnavailable, match="data_batch_3"):
        load("cifar10", root=tmp_path)


BATCHES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]


@pytest.mark.parametrize("file", BATCHES)
def test_a_changed_cifar_file_is_refused_before_it_is_unpickled(file, tmp_path, no_network, trap):
    path = tmp_path / "cifar-10-batches-py" / file
    path.parent.mkdir()
    path.write_bytes(pickled(trap))
    for read in (load, fallback):
        with pytest.raises(CreditError, match=f"{path} .*: delete it") as caught:
            read("cifar10", root=tmp_path)
        assert not isinstance(caught.value, DataUnavailable)


def test_a_changed_cifar_file_beside_the_real_ones(cifar_root, tmp_path, trap):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for file in BATCHES[1:]:
        (folder / file).symlink_to((cifar_root / folder.name / file).resolve())
    (folder / BATCHES[0]).write_bytes(pickled(trap))
    refused(lambda: load("cifar10", root=tmp_path), BATCHES[0], "corrupt")


def test_a_changed_cifar_archive_is_not_unpacked(tmp_path, no_network, trap):
    path = tmp_path / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for file in BATCHES:
            info = tarfile.TarInfo(f"cifar-10-batches-py/../../{file}")
            info.size = len(content := pickled(trap))
            archive.addfile(info, io.BytesIO(content))
    message = refused(lambda: load("cifar10", root=tmp_path), path.name, "corrupt")
    assert "downloaded" not in message
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
    with pytest.raises(DataUnavailable):
        load("cifar10", root=tmp_path / "elsewhere")
