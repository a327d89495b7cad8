"""The files of a dataset: where they are, whether they are intact, and how to get them.

Names, checksums and addresses are torchvision's. A file that is there is checked and never
replaced; a download is staged beside it, so that an interrupted one leaves nothing behind.
"""

import contextlib
import os
import shutil
import socket
import struct
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from http.client import HTTPException
from pathlib import Path

from credit.errors import CreditError

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
    """The layout of `cifar10` or `fashion_mnist`."""
    # imported here: torchvision takes a second that `digits` need not pay
    from torchvision.datasets import CIFAR10, FashionMNIST
    from torchvision.datasets.utils import check_md5

    if name == "cifar10":
        folder = Path(CIFAR10.base_folder)
        sums = [*CIFAR10.train_list, *CIFAR10.test_list]
        sums.append([CIFAR10.meta["filename"], CIFAR10.meta["md5"]])
        return Layout(
            fetch=partial(CIFAR10, download=True),
            source=CIFAR10.url,
            wanted={folder / file: partial(check_md5, md5=md5) for file, md5 in sums},
            archives={Path(CIFAR10.filename): CIFAR10.tgz_md5},
            keep_archives=False,
        )
    archives = {Path("FashionMNIST", "raw", file): md5 for file, md5 in FashionMNIST.resources}
    return Layout(
        fetch=partial(FashionMNIST, download=True),
        source=FashionMNIST.mirrors[0],
        wanted={
            path.with_suffix(""): partial(_idx_intact, md5=md5) for path, md5 in archives.items()
        },
        archives=archives,
        keep_archives=True,  # the published checksums are of these
    )


def _idx_intact(path: Path, md5: str) -> bool:
    """Return whether an unpacked Fashion-MNIST file has its exact size and header.

    And its content, where the archive it came from, whose checksum is known, lies beside it.
    """
    from torchvision.datasets.utils import check_integrity

    count = 60_000 if path.name.startswith("train") else 10_000
    images = "images" in path.name
    magic, sizes = (0x803, [28, 28]) if images else (0x801, [])
    header = struct.pack(f">{2 + len(sizes)}I", magic, count, *sizes)
    content = path.read_bytes()
    if not content.startswith(header) or len(content) != len(header) + count * 28 ** len(sizes):
        return False
    if not images and max(content[len(header) :]) > 9:
        return False
    archive = path.with_name(path.name + ".gz")
    if not check_integrity(archive, md5):
        return True
    crc = archive.read_bytes()[-8:-4]  # gzip ends with the CRC-32 of what it holds
    return zlib.crc32(content) == int.from_bytes(crc, "little")


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
    missing = [path for path in wanted.wanted if not os.path.exists(root / path)]
    for path, intact in wanted.wanted.items():
        if path not in missing:
            _check(root / path, intact)
    if missing:
        _download(name, wanted, root, missing)


def _check(path: Path, intact: Callable[[Path], bool]) -> None:
    try:
        good = intact(path)
    except OSError as error:
        raise CreditError(
            f"{path} cannot be read ({error.strerror}): make it readable, or delete it and run "
            "again"
        ) from error
    if not good:
        raise CreditError(
            f"{path} is corrupt (its content fails the checksum): delete it and run again"
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
