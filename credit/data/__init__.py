"""Datasets as uint8 tensors on the device. Epoch batches are in `credit.data.batches`."""

from credit.data.dataset import Dataset
from credit.data.files import DataUnavailable
from credit.data.loading import NAMES, Fallback, fallback, load

__all__ = ["NAMES", "DataUnavailable", "Dataset", "Fallback", "fallback", "load"]
