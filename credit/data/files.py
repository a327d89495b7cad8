"""The files of a dataset: where they are, whether they are intact, and how to get them.

Names, checksums and addresses are torchvision's, but for Fashion-MNIST, whose archives others have
packed anew: the checksums here are of what is in them. A file that is there is checked and never
replaced; a download is staged beside it, so that an interrupted one leaves nothing behind.
"""

import contextlib
import gzip
import os
import shutil
import socket
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path

from credit.errors import CreditError

FASHION = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
"""MD5 of the unpacked files of Fashion-MNIST."""
DEBIAN = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist has its archives."""
TIMEOUT_SECONDS = 15
"""How long a download may stay silent."""


class DataUnavailable(CreditError):
    """A dataset is neither on disk nor to be had from the network."""


@dataclass(frozen=True)
class Layout:
    """What a dataset looks like under the data directory. Paths are relative to it."""

    fetch: Callable[[Path], object]
    """Downloads what is missing into a directory and unpacks it."""
    source: str
    wanted: dict[Path, Callable[[Path], bool]]
    """Files that must be there, each with a test of its content."""
    archives: dict[Path, str]
    """What they are unpacked from, with MD5 sums; used in place of a download where present."""
    keep_archives: bool


def layout(name: str) -> Layout:
    """The layout of `cifar10`, `cifar100` or `fashion_mnist`."""
    # imported here: torchvision takes a second that `digits` need not pay
    from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST
    from torchvision.datasets.utils import check_md5

    if name != "fashion_mnist":
        kind = CIFAR10 if name == "cifar10" else CIFAR100
        folder = Path(kind.base_folder)
        sums = [*kind.train_list, *kind.test_list]
        sums.append([kind.meta["filename"], kind.meta["md5"]])
        return Layout(
            fetch=partial(kind, download=True),
            source=kind.url,
            wanted={folder / file: partial(check_md5, md5=md5) for file, md5 in sums},
            archives={Path(kind.filename): kind.tgz_md5},
            keep_archives=False,
        )
    archives = {Path("FashionMNIST", "raw", file): md5 for file, md5 in FashionMNIST.resources}
    return Layout(
        fetch=partial(FashionMNIST, download=True),
        source=FashionMNIST.mirrors[0],
        wanted={
            Path("FashionMNIST", "raw", file): partial(check_md5, md5=md5)
            for file, md5 in FASHION.items()
        },
        archives=archives,
        keep_archives=True,  # the published checksums are of these
    )


def holder(name: str, root: Path) -> Path:
    """Return the directory that holds the folder of `name`; `root` may be that folder itself."""
    (folder,) = {path.parts[0] for path in layout(name).wanted}
    here = root.resolve()
    return here.parent if here.name == folder and not (root / folder).exists() else root


def ensure(name: str, root: Path) -> None:
    """Have the files of `name` under `root`, intact; download what is missing.

    Raises:
        DataUnavailable: a file is missing and cannot be downloaded.
    """
    wanted = layout(name)
    if name == "fashion_mnist":
        _unpack(root, wanted)
    missing = [path for path in wanted.wanted if not os.path.exists(root / path)]
    for path, intact in wanted.wanted.items():
        if path not in missing:
            _check(root / path, intact)
    if missing:
        _download(name, wanted, root, missing)


def _unpack(root: Path, wanted: Layout) -> None:
    """Unpack what is missing of Fashion-MNIST from archives in `root`, or from Debian's.

    Raises:
        DataUnavailable: they are there, and `root` cannot be written to.
    """
    for path, intact in wanted.wanted.items():
        archives = [folder / f"{path.name}.gz" for folder in (root / path.parent, root, DEBIAN)]
        found = next((archive for archive in archives if archive.exists()), None)
        if found is None or os.path.exists(root / path):
            continue
        try:
            content = gzip.decompress(found.read_bytes())
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".unpack-", dir=root) as staging:
                unpacked = Path(staging, path.name)
                unpacked.write_bytes(content)
                _check(unpacked, intact, of=found)
                os.replace(unpacked, root / path)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise CreditError(f"{found} is corrupt ({error}): delete it and run again") from error
        except OSError as error:
            raise DataUnavailable(
                f"{found} cannot be unpacked into {root} ({error.strerror}): set CREDIT_DATA to a "
                "directory that you can write to"
            ) from error


def _check(path: Path, intact: Callable[[Path], bool], of: Path | None = None) -> None:
    """See that a file, or what an archive has unpacked to, has the content that it should."""
    try:
        good = intact(path)
    except OSError as error:
        raise CreditError(
            f"{path} cannot be read ({error.strerror}): make it readable, or delete it and run "
            "again"
        ) from error
    if not good:
        raise CreditError(
            f"{of or path} is corrupt (its content fails the checksum): delete it and run again"
        )


def _download(name: str, wanted: Layout, root: Path, missing: list[Path]) -> None:
    from torchvision.datasets.utils import check_md5

    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".download-", dir=root) as folder:
            staging = Path(folder)
            for path, md5 in wanted.archives.items():
                if (root / path).exists():
                    _check(root / path, partial(check_md5, md5=md5))
                    (staging / path).parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(root / path, staging / path)
            print(f"fetching {name} into {root}", file=sys.stderr)
            with _socket_timeout(TIMEOUT_SECONDS), contextlib.redirect_stdout(sys.stderr):
                wanted.fetch(staging)
            kept = wanted.archives if wanted.keep_archives else ()
            for path in [*missing, *(p for p in kept if not (root / p).exists())]:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                os.replace(staging / path, root / path)
    # what urllib and torchvision raise for: no network, a timeout, a broken or altered download
    except (OSError, HTTPException, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        some = len(missing) < len(wanted.wanted)
        names = f" whole ({', '.join(map(str, missing))} missing)" if some else ""
        raise DataUnavailable(
            f"{name} is not{names} in {root} and could not be downloaded ({reason}): set "
            "CREDIT_DATA to a directory that holds it, or pass --dataset digits"
        ) from error


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """torchvision opens its connections without one, and would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
