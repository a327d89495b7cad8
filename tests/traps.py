"""Files from anyone: pickles that write a file when they are unpickled, and errors in one line."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from credit.errors import CreditError


class Payload:
    """Unpickling this writes a file."""

    def __init__(self, trap: Path) -> None:
        self.trap = trap

    def __reduce__(self):
        return Path.write_text, (self.trap, "unpickled")


def pickled(trap: Path, protocol: int = 4) -> bytes:
    return pickle.dumps({"data": Payload(trap)}, protocol)


def torch_saved(trap: Path) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save({"param/embed.weight": Payload(trap)}, buffer)
    return buffer.getvalue()


TRAPS: dict[str, Callable[[Path], bytes]] = {
    "pickle": pickled,
    "text pickle": lambda trap: pickled(trap, protocol=0),
    "torch.save": torch_saved,
}
each_trap = pytest.mark.parametrize("made", TRAPS.values(), ids=TRAPS.keys())


def refused(action: Callable[[], object], *words: str) -> str:
    """The one line with which `action` ends; these words are in it."""
    with pytest.raises(CreditError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message
