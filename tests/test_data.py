"""Datasets, their files, and the epoch batches, against a slow obvious implementation."""

import gzip
import hashlib
import os
import socket
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close
from torchvision.datasets import FashionMNIST
from torchvision.transforms import functional as slow

from credit.data import NAMES, Dataset, DataUnavailable, fallback, files, load, loading
from credit.data.batches import augmentation, held_out, normalise, order, train_batches
from credit.data.loading import data_root
from credit.errors import CreditError
from credit.spec import field_types

F32, F64 = torch.float32, torch.float64


def small(n=10, channels=3, height=6, width=6, pad=2, flip=True, device="cpu", seed=0) -> Dataset:
    """Random images whose label is their index, so that a batch says which images it holds."""
    source = torch.Generator().manual_seed(seed)

    def split(count):
        shape = (count, channels, height, width)
        images = torch.randint(0, 256, shape, dtype=torch.uint8, generator=source)
        return images.to(device), torch.arange(count, device=device)

    mean, std = ((0.1, 0.4, 0.6)[:channels], (0.2, 0.25, 0.3)[:channels])
    return Dataset("small", *split(n), *split(7), n, mean, std, pad, flip, "0" * 16, "a test")


def slow_batches(data, seed, epoch, batch_size, augment, dtype):
    """One image at a time, through torchvision's transforms, from the same draws."""
    draws = augmentation(data, seed, epoch)
    indices = order(data, seed, epoch).tolist()
    for start in range(0, len(indices), batch_size):
        chosen, rows = indices[start : start + batch_size], []
        for i in chosen:
            image = data.train_images[i].cpu()
            if augment:
                top, left = int(draws.top[i]), int(draws.left[i])
                image = slow.pad(image, [data.pad] * 4, fill=0)
                image = slow.crop(image, top, left, *data.train_images.shape[2:])
                image = slow.hflip(image) if draws.flip[i] else image
            pixels = image.to(dtype) / 255
            rows.append(slow.normalize(pixels, list(data.mean), list(data.std)).flatten())
        yield torch.stack(rows), data.train_labels[torch.tensor(chosen)]


def assert_same_batches(got, expected):
    got, expected = list(got), list(expected)
    assert len(got) == len(expected)
    for (x, y), (x_slow, y_slow) in zip(got, expected, strict=True):
        assert_close(x, x_slow)
        assert torch.equal(y, y_slow)


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 9),
    channels=st.integers(1, 3),
    height=st.integers(1, 6),
    width=st.integers(1, 6),
    pad=st.integers(0, 3),
    flip=st.booleans(),
    augment=st.booleans(),
    batch_size=st.integers(1, 10),
    seed=st.integers(0, 2**31),
    epoch=st.integers(0, 300),
    dtype=st.sampled_from([F32, F64]),
)
def test_batches_equal_the_slow_form(
    n, channels, height, width, pad, flip, augment, batch_size, seed, epoch, dtype
):
    data = small(n, channels, height, width, pad, flip, seed=seed)
    assert_same_batches(
        train_batches(data, [seed], epoch, batch_size, augment, dtype),
        slow_batches(data, seed, epoch, batch_size, augment, dtype),
    )


@pytest.mark.parametrize("augment", [True, False])
def test_a_seed_does_not_depend_on_the_seeds_beside_it(augment):
    data, seeds = small(), [42, 123, 456]
    together = list(train_batches(data, seeds, 3, 4, augment, F32))
    assert [tuple(x.shape) for x, _ in together] == [(3, 4, 108), (3, 4, 108), (3, 2, 108)]
    assert [tuple(y.shape) for _, y in together] == [(3, 4), (3, 4), (3, 2)]
    for position, seed in enumerate(seeds):
        alone = list(train_batches(data, [seed], 3, 4, augment, F32))
        for (x, y), (x_alone, y_alone) in zip(together, alone, strict=True):
            assert torch.equal(x[position], x_alone)
            assert torch.equal(y[position], y_alone)


def test_shapes_last_short_batch_and_types_with_one_seed():
    batches = list(train_batches(small(), [1], 0, 4, True, F64))
    assert [tuple(x.shape) for x, _ in batches] == [(4, 108), (4, 108), (2, 108)]
    assert all(x.dtype == F64 and x.is_contiguous() for x, _ in batches)
    assert all(y.dtype == torch.int64 and y.dim() == 1 for _, y in batches)


def test_every_image_once_per_epoch_and_a_new_order_each_epoch_and_seed():
    data = small(n=50)

    def labels(seed, epoch):
        return torch.cat([y for _, y in train_batches(data, [seed], epoch, 8, True, F32)]).tolist()

    assert sorted(labels(1, 0)) == list(range(50))
    assert labels(1, 0) == labels(1, 0)
    assert labels(1, 0) != labels(1, 1)
    assert labels(1, 0) != labels(2, 0)


def test_augmentation_differs_by_epoch_and_covers_its_range():
    data = small(n=2000)
    first, second = augmentation(data, 1, 0), augmentation(data, 1, 1)
    assert not torch.equal(first.top, second.top)
    assert not torch.equal(first.flip, second.flip)
    assert not torch.equal(first.top, first.left)
    for offsets in (first.top, first.left):
        counts = offsets.bincount()
        assert len(counts) == 2 * data.pad + 1
        assert counts.min() > 300  # 400 expected, 18 standard deviation
    assert 880 < first.flip.sum() < 1120  # 1000 expected, 22 standard deviation
    assert not augmentation(small(flip=False), 1, 0).flip.any()


def test_labels_follow_their_images():
    data = small(n=30)
    whole = normalise(data.train_images, data, F32)
    for x, y in train_batches(data, [5, 6], 0, 7, False, F32):
        assert torch.equal(x, whole[y])


def test_batches_stay_valid_after_the_next_one_is_made():
    kept = list(train_batches(small(), [1], 0, 4, True, F32))
    for (x, _), (again, _) in zip(kept, train_batches(small(), [1], 0, 4, True, F32), strict=True):
        assert torch.equal(x, again)


def test_the_training_images_are_not_touched():
    data = small()
    before = data.train_images.clone()
    list(train_batches(data, [1], 0, 4, True, F32))
    assert torch.equal(data.train_images, before)


def test_impossible_batches_are_errors_at_the_call():
    with pytest.raises(CreditError, match="batch_size=0"):
        train_batches(small(), [1], 0, 0, True, F32)
    with pytest.raises(CreditError, match="seeds is empty"):
        train_batches(small(), [], 0, 4, True, F32)


def test_held_out_takes_the_first_in_file_order():
    data = small()
    x, y = held_out(data, F64)
    assert x.shape == (7, data.d_in)
    assert y.tolist() == list(range(7))
    mean = torch.tensor(data.mean, dtype=F64)[:, None, None]
    std = torch.tensor(data.std, dtype=F64)[:, None, None]
    assert_close(x, ((data.test_images.to(F64) / 255 - mean) / std).flatten(1))
    few, labels = held_out(data, F64, 3)
    assert torch.equal(few, x[:3])
    assert labels.tolist() == [0, 1, 2]
    assert len(held_out(data, F64, 1000)[1]) == 7
    with pytest.raises(CreditError, match="n=-1"):
        held_out(data, F64, -1)


def test_held_out_with_a_generator_draws_without_replacement():
    data = small()
    x, y = held_out(data, F32, 5, torch.Generator().manual_seed(3))
    assert len(set(y.tolist())) == 5
    assert y.tolist() != list(range(5))
    assert torch.equal(x, held_out(data, F32)[0][y])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_an_epoch_on_the_gpu_equals_the_cpu_and_never_waits():
    host, device = small(n=50), small(n=50, device="cuda")
    list(train_batches(device, [1], 0, 8, True, F32))  # what is made once may wait
    torch.cuda.set_sync_debug_mode("error")
    try:
        batches = list(train_batches(device, [1, 2], 4, 8, True, F32))
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for (x, y), (x_host, y_host) in zip(
        batches, train_batches(host, [1, 2], 4, 8, True, F32), strict=True
    ):
        assert_close(x.cpu(), x_host)
        assert torch.equal(y.cpu(), y_host)


# Loading


def test_the_spec_and_the_loader_know_the_same_datasets():
    import dataclasses

    from credit.spec import RunSpec

    knob = next(f for f in dataclasses.fields(RunSpec) if f.name == "dataset")
    assert field_types()["dataset"] is str
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


def test_train_samples_keeps_the_first():
    whole, few = load("digits"), load("digits", train_samples=100)
    assert torch.equal(few.train_images, whole.train_images[:100])
    assert torch.equal(few.train_labels, whole.train_labels[:100])
    assert torch.equal(few.test_images, whole.test_images)
    assert few.n_train == 100
    assert few.digest != whole.digest
    assert few.digest == load("digits", train_samples=100).digest
    for wrong in (1438, -1):
        with pytest.raises(CreditError, match=f"train_samples={wrong}.*1437"):
            load("digits", train_samples=wrong)


@pytest.fixture(scope="module")
def cifar() -> Dataset:
    configured = os.environ.get("CREDIT_DATA")
    if not configured or not (Path(configured) / "cifar-10-batches-py" / "test_batch").exists():
        pytest.skip("CREDIT_DATA does not hold CIFAR-10")
    return load("cifar10")


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


def test_unknown_dataset():
    for call in (load, fallback):
        with pytest.raises(CreditError, match="unknown dataset 'cifar': did you mean 'cifar10'"):
            call("cifar")


# Files


def test_where_the_data_directory_is(monkeypatch, tmp_path):
    missing = tmp_path / "missing"
    monkeypatch.setenv("CREDIT_DATA", str(missing))
    for call in (load, fallback):
        with pytest.raises(
            CreditError, match=r"CREDIT_DATA=.*missing is not a directory"
        ) as caught:
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


@pytest.fixture
def no_network(monkeypatch):
    """Every request goes to a proxy that refuses it."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        proxy = f"http://127.0.0.1:{closed.getsockname()[1]}"
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, proxy)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_no_network(name, no_network, tmp_path):
    with pytest.raises(DataUnavailable) as caught:
        load(name, root=tmp_path)
    message = str(caught.value)
    assert "\n" not in message
    for part in (name, str(tmp_path), "refused", "CREDIT_DATA", "--dataset digits"):
        assert part in message
    assert list(tmp_path.iterdir()) == []
    chosen = fallback(name, tmp_path)
    assert chosen.name == "digits"
    assert chosen.reason == message
    assert socket.getdefaulttimeout() is None


def test_fallback_keeps_what_is_there(no_network):
    assert fallback("digits") == ("digits", None)


def test_a_root_that_is_a_file(tmp_path, no_network):
    (tmp_path / "data").write_text("")
    with pytest.raises(DataUnavailable, match="data and could not be downloaded"):
        load("cifar10", root=tmp_path / "data")


@pytest.mark.parametrize("file", ["cifar-10-batches-py/data_batch_3", "cifar-10-python.tar.gz"])
def test_a_corrupt_cifar_file_is_named_and_kept(file, no_network, tmp_path):
    path = tmp_path / file
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(b"wrong")
    with pytest.raises(CreditError, match=r"is corrupt .*: delete it and run again") as caught:
        load("cifar10", root=tmp_path)
    assert not isinstance(caught.value, DataUnavailable)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == b"wrong"


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    path = tmp_path / "cifar-10-batches-py" / "test_batch"
    path.mkdir(parents=True)  # a directory in its place
    with pytest.raises(CreditError, match=r"test_batch cannot be read"):
        load("cifar10", root=tmp_path)


@pytest.fixture(scope="module")
def garments(tmp_path_factory) -> Path:
    """A mirror of Fashion-MNIST with made-up content: four gzipped idx files."""
    folder = tmp_path_factory.mktemp("mirror")
    source = torch.Generator().manual_seed(0)
    for split, count in (("train", 60_000), ("t10k", 10_000)):
        labels = torch.randint(10, (count,), generator=source, dtype=torch.uint8)
        images = (labels[:, None] * 20).expand(count, 784).contiguous()
        for kind, header, content in (
            ("images-idx3", struct.pack(">4I", 0x803, count, 28, 28), images),
            ("labels-idx1", struct.pack(">2I", 0x801, count), labels),
        ):
            packed = gzip.compress(header + content.numpy().tobytes(), compresslevel=1)
            (folder / f"{split}-{kind}-ubyte.gz").write_bytes(packed)
    return folder


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


@pytest.fixture
def mirror(garments, monkeypatch):
    """torchvision, told to fetch Fashion-MNIST from a server on this machine."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    md5s = [
        (file, hashlib.md5((garments / file).read_bytes(), usedforsecurity=False).hexdigest())
        for file, _ in FashionMNIST.resources
    ]
    monkeypatch.setattr(FashionMNIST, "resources", md5s)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(garments)))
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setattr(FashionMNIST, "mirrors", [f"http://127.0.0.1:{server.server_port}/"])
    yield garments
    server.shutdown()
    server.server_close()


def test_fashion_mnist_is_downloaded_checked_and_loaded(mirror, tmp_path, monkeypatch, capsys):
    root = tmp_path / "data"
    assert fallback("fashion_mnist", root) == ("fashion_mnist", None)
    assert capsys.readouterr().out == ""
    assert [path.name for path in root.iterdir()] == ["FashionMNIST"]
    raw = root / "FashionMNIST" / "raw"
    assert len(list(raw.iterdir())) == 8

    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:1/"])  # none
    data = load("fashion_mnist", root=root, train_samples=500)
    assert data.train_images.shape == (500, 1, 28, 28)
    assert data.test_images.shape == (10_000, 1, 28, 28)
    assert (data.classes, data.d_in, data.flip) == (10, 784, True)
    for images, labels in (
        (data.train_images, data.train_labels),
        (data.test_images, data.test_labels),
    ):
        assert torch.equal(images[:, 0, 13, 13].long(), 20 * labels)

    # unpacked again from the archive beside it, whose checksum is known
    (raw / "t10k-labels-idx1-ubyte").unlink()
    assert load("fashion_mnist", root=root, train_samples=500).digest == data.digest

    # one wrong byte: the archive tells
    altered = raw / "t10k-images-idx3-ubyte"
    content = bytearray(altered.read_bytes())
    content[-1] ^= 1
    altered.write_bytes(content)
    with pytest.raises(CreditError, match="t10k-images-idx3-ubyte is corrupt"):
        load("fashion_mnist", root=root)

    # without the archive only size and header can tell
    altered.with_name(altered.name + ".gz").unlink()
    altered.write_bytes(content[:-1])
    with pytest.raises(CreditError, match="t10k-images-idx3-ubyte is corrupt"):
        load("fashion_mnist", root=root)


def test_an_altered_download_is_refused_and_leaves_nothing(mirror, tmp_path, monkeypatch):
    (first, _), *rest = FashionMNIST.resources
    monkeypatch.setattr(FashionMNIST, "resources", [(first, "0" * 32), *rest])
    with pytest.raises(DataUnavailable, match="corrupted"):
        load("fashion_mnist", root=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_silent_server_times_out(tmp_path, monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    monkeypatch.setattr(files, "TIMEOUT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        monkeypatch.setattr(FashionMNIST, "mirrors", [url])
        with pytest.raises(DataUnavailable, match="timed out"):
            load("fashion_mnist", root=tmp_path)
