"""Small datasets, and their batches one image at a time."""

import torch
from torch.testing import assert_close
from torchvision.transforms import functional as slow

from credit.data import Dataset
from credit.data.batches import augmentation, order

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
        assert x.is_contiguous()
        assert torch.equal(y, y_slow)
