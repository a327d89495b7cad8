"""A figure as inline SVG: no file beside it, no name that another figure of the page may have."""

import re
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

from markupsafe import Markup
from matplotlib.figure import Figure

from credit.figures.page import save

_SVG, _LINK = "{http://www.w3.org/2000/svg}", "{http://www.w3.org/1999/xlink}href"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_NO_XML = re.compile(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_DROPPED = ("metadata", "style")


def inline(figure: Figure, label: str, prefix: str) -> Markup:
    """Return the figure as an `svg` element, safe to put into HTML as it is.

    matplotlib's XML is parsed and written anew: what is text in it stays text.

    Args:
        label: what is read out in place of the figure.
        prefix: begins every id, so that two figures on a page do not mix.
    """
    with TemporaryDirectory() as folder:
        (file,) = save(figure, Path(folder) / "figure", ("svg",))
        root = ElementTree.fromstring(_NO_XML.sub(" ", file.read_text(encoding="utf-8")))
    elements = list(root.iter())
    values = [value for element in elements for value in element.attrib.values()]
    links = [element.get(_LINK, "") for element in elements]
    used = {name for value in values for name in _REFERENCE.findall(value)}
    used |= {link[1:] for link in links if link.startswith("#")}
    for element, link in zip(elements, links, strict=True):
        for child in list(element):
            if child.tag.rpartition("}")[2] in _DROPPED:
                element.remove(child)
        element.tag = element.tag.removeprefix(_SVG)
        own = element.attrib.pop("id", None)
        if own in used:
            element.set("id", f"{prefix}{own}")
        if element.attrib.pop(_LINK, ""):
            element.set("href", f"#{prefix}{link[1:]}" if link.startswith("#") else link)
        for name, value in element.attrib.items():
            element.set(name, _REFERENCE.sub(rf"url(#{prefix}\1)", value))
    for name in ("width", "height"):  # the page's width decides
        root.attrib.pop(name, None)
    root.set("role", "img")
    root.set("aria-label", label)
    root.set("style", "stroke-linejoin:round;stroke-linecap:butt")  # of the style that was removed
    return Markup(ElementTree.tostring(root, encoding="unicode"))
