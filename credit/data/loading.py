"""Load a dataset by name.

Choices per dataset (mean and std are those of the training pixels, scaled to 0..1, except
for `teacher`):

- `cifar10`: zero padding 4 and horizontal flips, the published recipe; `cifar100` likewise.
- `fashion_mnist`: zero padding 4 and horizontal flips, the "standard augmentation" of its authors'
  benchmark table; a mirrored garment is the same garment.
- `digits`: 8x8, so padding 1 shifts by the same eighth of the image as CIFAR's 4 of 32; no flips,
  because a mirrored digit is not a digit. The first 1437 images train, the last 360 test, in file
  order.
- `teacher`: made by `credit.data.teacher`. Its inputs are no picture: no padding, no flips, and the
  augmented batches are the plain ones. Mean and std are those that the inputs were drawn
  with.
"""

import hashlib
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from credit.data import teacher
from credit.data.dataset import Dataset
from credit.data.files import DataUnavailable, ensure, holder, layout
from credit.errors import CreditError
from credit.networks.size import SIZES
from credit.randomness import generator
from credit.spec import check_names

DIGITS_TRAIN = 1437


class Facts(NamedTuple):
    """Fields of a `Dataset` that preprocessing needs."""

    mean: tuple[float, ...]
    std: tuple[float, ...]
    pad: int
    flip: bool


FACTS = {
    "cifar10": Facts((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), pad=4, flip=True),
    "cifar100": Facts((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762), pad=4, flip=True),
    "fashion_mnist": Facts((0.2860,), (0.3530,), pad=4, flip=True),
    "digits": Facts((0.3054,), (0.3753,), pad=1, flip=False),
    "teacher": Facts((teacher.MEAN,), (teacher.STD,), pad=0, flip=False),
}

NAMES = tuple(FACTS)
"""The datasets there are."""
_DOWNLOADED = ("cifar10", "cifar100", "fashion_mnist")
ELSEWHERE = ("toy_lq",)
"""Values of `RunSpec.dataset` that are no set of samples: entry points of these names train on
what they draw themselves."""


def load(
    name: str,
    device: torch.device | str = "cpu",
    root: Path | None = None,
    train_samples: int = 0,
    labels_seed: int | None = None,
) -> Dataset:
    """Load a dataset onto `device`, downloading it if it is missing.

    Args:
        root: the data directory; by default that of `data_root`.
        train_samples: keep the first n training samples; 0 keeps all.
        labels_seed: permute the labels of those, in this seed's way; the test set stays.

    Raises:
        DataUnavailable: the files are missing and cannot be downloaded.
    """
    if name in ELSEWHERE:
        raise CreditError(
            f"dataset={name} is no set of samples to load: its runs are trained by credit {name}"
        )
    check_names([name], NAMES, "dataset")
    if name in _DOWNLOADED:
        train, test, source = _torchvision(name, holder(name, data_root(root)))
    elif name == "digits":
        train, test, source = _digits()
    else:
        train, test, source = *teacher.splits(), "credit.data.teacher.splits"
    available = len(train[1])
    if not 0 <= train_samples <= available:
        raise CreditError(
            f"train_samples={train_samples} is not possible: {name} has {available} training "
            f"samples, pass 1 to {available}, or 0 for all"
        )
    count = train_samples or available
    tensors = [*(t[:count].contiguous() for t in train), *test]
    if labels_seed is not None:
        order = torch.randperm(count, generator=generator(labels_seed, "labels"))
        tensors[1] = tensors[1][order]
        source += ", training labels permuted"
    held = [tensor.to(device) for tensor in tensors]
    digest = _digest(tensors)
    train_x, train_y, test_x, test_y = held
    classes, facts = SIZES[name].classes, FACTS[name]._asdict()
    known = {"classes": classes, "digest": digest, "source": source, **facts}
    return Dataset(name, train_x, train_y, test_x, test_y, **known)


class Fallback(NamedTuple):
    """The dataset to use in place of the one asked for."""

    name: str
    reason: str | None
    """Why it is another one, as one line; None when it is the one asked for."""


def fallback(name: str, root: Path | None = None) -> Fallback:
    """`name` if it is on disk or can be downloaded now (it then is), else `digits`.

    Telling the user is the caller's job.
    """
    check_names([name], NAMES, "dataset")
    if name in _DOWNLOADED:
        try:
            ensure(name, holder(name, data_root(root)))
        except DataUnavailable as error:
            return Fallback("digits", str(error))
    return Fallback(name, None)


def data_root(root: Path | None = None) -> Path:
    """Return the data directory: `root`, else CREDIT_DATA, else a `data` folder that is there.

    That is, beside the MLproject file or in the current directory. Else the user's cache: a
    checkout may be one that `mlflow run <git URL>` throws away.
    """
    if root is not None:
        return Path(root)
    if configured := os.environ.get("CREDIT_DATA"):
        path = Path(configured).expanduser()
        if not path.is_dir():
            raise CreditError(
                f"CREDIT_DATA={configured} is not a directory: create it, or unset CREDIT_DATA"
            )
        return path
    project = Path(__file__).resolve().parents[2]
    checkout = [project] if (project / "MLproject").is_file() else []
    for folder in (*checkout, Path.cwd()):
        if (folder / "data").is_dir():
            return folder / "data"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "credit"


_Split = tuple[Tensor, Tensor]


def _torchvision(name: str, root: Path) -> tuple[_Split, _Split, str]:
    ensure(name, root)
    from torchvision.datasets import CIFAR10, CIFAR100, FashionMNIST

    kind = {"cifar10": CIFAR10, "cifar100": CIFAR100, "fashion_mnist": FashionMNIST}[name]
    splits = [_split(kind(root, train=train)) for train in (True, False)]
    return splits[0], splits[1], layout(name).source


def _split(dataset) -> _Split:
    """torchvision's `data`, (n, H, W, C) or (n, H, W), and `targets` as this project holds them."""
    images = torch.as_tensor(dataset.data)
    images = images.unsqueeze(1) if images.dim() == 3 else images.permute(0, 3, 1, 2)
    return images.contiguous(), torch.as_tensor(dataset.targets, dtype=torch.int64)


def _digits() -> tuple[_Split, _Split, str]:
    from sklearn.datasets import load_digits

    pixels, targets = load_digits(return_X_y=True)
    images = torch.from_numpy(np.rint(pixels * (255 / 16)).astype(np.uint8)).view(-1, 1, 8, 8)
    labels = torch.from_numpy(targets.astype(np.int64))
    train = images[:DIGITS_TRAIN], labels[:DIGITS_TRAIN]
    test = images[DIGITS_TRAIN:], labels[DIGITS_TRAIN:]
    return train, test, "sklearn.datasets.load_digits"


def _digest(tensors: list[Tensor]) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.numpy().data)
    return digest.hexdigest()[:16]
