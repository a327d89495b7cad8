"""Fashion-MNIST is downloaded, checked and unpacked, from a mirror on this machine."""

import gzip
import hashlib
import socket
import struct
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from torchvision.datasets import FashionMNIST

from credit.data import DataUnavailable, fallback, files, load
from credit.errors import CreditError


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


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@pytest.fixture(autouse=True)
def made_up(garments, monkeypatch, tmp_path):
    """Checksums of the made-up content; no archives of the machine's own."""
    sums = {
        file: md5(gzip.decompress((garments / f"{file}.gz").read_bytes())) for file in files.FASHION
    }
    monkeypatch.setattr(files, "FASHION", sums)
    monkeypatch.setattr(files, "DEBIAN", tmp_path / "share/datasets/fashion-mnist")


@pytest.fixture
def mirror(garments, monkeypatch):
    """torchvision, told to fetch Fashion-MNIST from a server on this machine."""
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    md5s = [(file, md5((garments / file).read_bytes())) for file, _ in FashionMNIST.resources]
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

    # unpacked again from the archive beside it
    (raw / "t10k-labels-idx1-ubyte").unlink()
    assert load("fashion_mnist", root=root, train_samples=500).digest == data.digest

    # one wrong byte
    altered = raw / "t10k-images-idx3-ubyte"
    content = bytearray(altered.read_bytes())
    content[-1] ^= 1
    altered.write_bytes(content)
    with pytest.raises(CreditError, match="t10k-images-idx3-ubyte is corrupt"):
        load("fashion_mnist", root=root)


@pytest.mark.parametrize("place", ["share/datasets/fashion-mnist", "data/FashionMNIST/raw", "data"])
def test_archives_that_others_have_packed_are_unpacked(place, garments, tmp_path, monkeypatch):
    """As Debian's package has them: other checksums, the same content."""
    monkeypatch.setattr(FashionMNIST, "mirrors", ["http://127.0.0.1:1/"])  # none
    folder = tmp_path / place
    folder.mkdir(parents=True)
    for file in files.FASHION:
        content = gzip.decompress((garments / f"{file}.gz").read_bytes())
        (folder / f"{file}.gz").write_bytes(gzip.compress(content, compresslevel=2, mtime=7))
    data = load("fashion_mnist", root=tmp_path / "data", train_samples=500)
    assert torch.equal(data.train_images[:, 0, 13, 13].long(), 20 * data.train_labels)

    unpacked = tmp_path / "data/FashionMNIST/raw/t10k-labels-idx1-ubyte"
    unpacked.unlink()
    (folder / f"{unpacked.name}.gz").write_bytes(gzip.compress(b"other labels"))
    with pytest.raises(CreditError, match=r"t10k-labels-idx1-ubyte.gz is corrupt"):
        load("fashion_mnist", root=tmp_path / "data")
    (folder / f"{unpacked.name}.gz").write_bytes(b"no archive")
    with pytest.raises(CreditError, match=r"t10k-labels-idx1-ubyte.gz is corrupt"):
        load("fashion_mnist", root=tmp_path / "data")


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
