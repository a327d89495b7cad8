"""The network of a finished run as a classifier of raw images. Nothing here imports MLflow.

The model names this module, and `mlflow.pyfunc.load_model` hands its only file of data, the run's
`weights.safetensors`, to `_load_pyfunc`. Nothing is unpickled; no code travels with a model.

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
from credit.networks import kinds
from credit.networks.size import SIZES
from credit.randomness import generator
from credit.training import checkpoint
from credit.training.measuring import EVALUATION_BATCH

SAMPLES = 2


class Sample(NamedTuple):
    """What a model needs to know of its dataset, without torch: another thread uses it."""

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
        if ":" in self.spec.network:
            raise CreditError(
                f"{path} is of network={self.spec.network}, whose code is not part of the model: "
                "load its tensors into that network yourself"
            )
        facts, size = FACTS[self.spec.dataset], SIZES[self.spec.dataset]
        dtype = next(iter(self._params.values())).dtype
        shape = kinds.shape_of(self.spec, size.image, size.classes)
        self._network = kinds.of(self.spec, shape, "cpu", dtype)
        self._check(path)
        self._channels, self._units = len(facts.mean), shape.d_in
        self._affine = affine(facts.mean, facts.std, self._units).to(dtype)

    def predict(self, images: np.ndarray) -> dict[str, np.ndarray]:
        """Classify raw images, uint8 (N, C, H, W), as the dataset has them; vectors (N, 1, 1, D).

        Returns `class`, int64 (N,), where the logits are largest, and `probabilities`, float32 (N,
        classes), their softmax.
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
        return self._network.tail(self._params, self._network.embed(self._params, x), 0)

    def _check(self, path: Path) -> None:
        """See that a file has the tensors of the network that its spec describes, and no others."""
        expected = self._network.init(self.spec, generator(0, "init"), torch.float32)
        own, held = ({(n, p.shape) for n, p in d.items()} for d in (expected, self._params))
        if wrong := sorted(own ^ held):
            raise CreditError(
                f"{path} holds no network of {self.spec.depth} blocks: its tensors do not fit each "
                f"other ({wrong[0][0]} is missing, too much or of another shape)"
            )


def _load_pyfunc(path: str) -> Classifier:
    """Return the classifier in a model's file, as MLflow asks for it."""
    return Classifier(Path(path))
