"""A figure as files: PNG to look at, SVG and PDF to print.

SVG has letters as outlines, so that it looks the same where the font is missing; PDF has them as
text in an embedded TrueType font, so that they can be searched and edited. The same figure gives
the same bytes whenever it is saved.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = ("png", "svg", "pdf")
_SETTINGS: dict[Any, Any] = {"svg.fonttype": "path", "svg.hashsalt": "credit", "pdf.fonttype": 42}
_UNDATED: dict[str, dict[str, Any]] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}


def save(figure: "Figure", path: Path, formats: Iterable[str] = FORMATS) -> list[Path]:
    """Save a figure as `path`, which has no suffix, in each format; returns the files."""
    from matplotlib import rc_context  # here: what logs no figure runs without matplotlib

    files = []
    with rc_context(_SETTINGS):
        for kind in formats:
            files.append(path.with_name(f"{path.name}.{kind}"))
            figure.savefig(files[-1], metadata=_UNDATED.get(kind))
    return files
