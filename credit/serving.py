"""The network of a finished run as a classifier of raw images. Nothing here imports MLflow.

`mlflow.pyfunc.load_model` imports this module, because the model names it, and hands the model's
only file of data, the run's `weights.safetensors`, to `_load_pyfunc`. Nothing is unpickled, and no
code travels with a model: this package must be installed where it is loaded.

Shape legend: N images, C channels, H x W pixels, D = C*H*W input units.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from credit.data import Dataset
from credit.data.batches import scaled
from credit.data.dataset import affine
from credit.data.loading import FACTS
from credit.errors import CreditError
from credit.networks import resmlp
from credit.spec import RunSpec
from credit.training import checkpoint
from credit.training.measuring import EVALUATION_BATCH

SAMPLES = 2


class Sample(NamedTuple):
    """What a model's signature, its input example and its test accuracy need to know of a dataset.

    On the CPU and without torch, so that another thread may use it while training goes on.
    """

    images: np.ndarray  # uint8 (SAMPLES, C, H, W), raw
    classes: int
    name: str
    digest: str


def sample_of(data: Dataset) -> Sample:
    """The first test images, and what the dataset is called."""
    images = data.test_images[:SAMPLES].cpu().numpy()
    return Sample(images, data.classes, data.name, data.digest)


class Classifier:
    """A run's network, of `weights.safetensors`, with the preprocessing of its test, on the CPU."""

    def __init__(self, path: Path) -> None:
        self.spec, mapped = checkpoint.network_of(path)
        self._params = {name: p.clone() for name, p in mapped.items()}  # the file may be replaced
        if self.spec.dataset not in FACTS:
            raise CreditError(
                f"{path} is of a run on {self.spec.dataset}, whose network takes no images: choose "
                f"a run on {', '.join(FACTS)}"
            )
        _check(self._params, self.spec, path)
        facts, weight = FACTS[self.spec.dataset], self._params["embed.weight"]
        self._channels, self._units = len(facts.mean), weight.shape[-1]
        self._affine = affine(facts.mean, facts.std, self._units).to(weight.dtype)
        try:
            self._logits(torch.zeros(1, self._units, dtype=torch.uint8))
        except (RuntimeError, IndexError) as error:
            raise CreditError(
                f"{path} holds no network: its tensors do not fit each other ({error})"
            ) from error

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Classify raw images, uint8 (N, C, H, W), as the dataset has them; vectors (N, 1, 1, D).

        Returns:
            `class`, int64 (N,), where the logits are largest; `probabilities`, float32
            (N, classes), their softmax.
        """
        images = np.ascontiguousarray(images)
        if images.dtype != np.uint8 or images.shape[1:2] != (self._channels,) or images.ndim != 4:
            raise CreditError(
                f"images are {images.dtype} {images.shape}: pass raw pixels, uint8 "
                f"(N, {self._channels}, H, W)"
            )
        if images[:1].size not in (0, self._units):
            raise CreditError(
                f"images have {images[:1].size} numbers each: this network takes {self._units}"
            )
        parts = torch.tensor(images).split(EVALUATION_BATCH)
        logits = torch.cat([self._logits(part) for part in parts])
        probabilities = logits.softmax(-1).float()
        return {"class": logits.argmax(-1).numpy(), "probabilities": probabilities.numpy()}

    def _logits(self, images: Tensor) -> Tensor:
        """Raw images (N, ...) -> (N, classes), as `measuring.evaluate` computes them."""
        x = scaled(images, *self._affine)
        return resmlp.tail(self._params, resmlp.embed(self._params, x), 0)


def _check(params: resmlp.Params, spec: RunSpec, path: Path) -> None:
    """See that a file has the tensors of the network that its spec describes, and no others."""
    head = resmlp.HEAD if spec.terminal_norm else resmlp.HEAD[2:]
    blocks = (name for block in range(spec.depth) for name in resmlp.block_names(block))
    alpha = [resmlp.ALPHA] if spec.activation == "phi" else []
    expected = {"embed.weight", "embed.bias", *blocks, *head, *alpha}
    if wrong := sorted(expected ^ params.keys()):
        raise CreditError(
            f"{path} holds no network of {spec.depth} blocks: {wrong[0]} is missing or too much"
        )
    if params["embed.weight"].ndim != 2:
        raise CreditError(f"{path} holds no network: embed.weight is no matrix")


def _load_pyfunc(path: str) -> Classifier:
    """Return the classifier in a model's file, as MLflow asks for it."""
    return Classifier(Path(path))
