"""A figure as inline SVG: no file beside it."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

from credit.figures.page import save

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DROPPED = ("metadata", "style")


def inline(figure: Figure, label: str) -> Markup:
    """Return the figure as an `svg` element, safe to put into HTML as it is: one to a page.

    matplotlib's XML is parsed and written anew: what is text in it stays text.

    Args:
        label: what is read out in place of the figure.
    """
    with TemporaryDirectory() as folder:
        (file,) = save(figure, Path(folder) / "figure", ("svg",))
        root = ElementTree.fromstring(_NO_XML.sub(" ", file.read_text(encoding="utf-8")))
    for element in list(root.iter()):
        for child in list(element):
            if child.tag.rpartition("}")[2] in _DROPPED:
                element.remove(child)
        element.tag = element.tag.removeprefix(_SVG)
        if link := element.attrib.pop(_LINK, ""):
            element.set("href", link)
    for name in ("width", "height"):  # the page's width decides
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("style", "stroke-linejoin:round;stroke-linecap:butt")  # of the style that was removed
    return Markup(ElementTree.tostring(root, encoding="unicode"))
