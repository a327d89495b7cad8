"""Hooks of the documentation site: what lies outside docs/, and formulas that need no script.

- Pages of the repository that belong to the site, such as CONTRIBUTING.md, become pages of it.
- Other files that pages link to, such as examples, become pages that show them, or files.
- Formulas between dollar signs become MathML, which browsers show without a script or a network;
  the site brings the font.
- `<!-- fields of RunSpec -->` becomes the table of all settings of a run.

Links in the sources are those of the repository, so that they hold on a git host, too.
"""

import dataclasses
import html
import posixpath
import re
from importlib.resources import files as contents
from pathlib import Path

import ziamath
from latex2mathml.converter import convert
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from credit.spec import SETTLED_FIELDS, RunSpec

ROOT = Path(__file__).resolve().parent.parent
PAGES = {"CONTRIBUTING.md": "contributing.md", "benchmarks/README.md": "benchmarks.md"}
"""Pages outside docs/, by where they are on the site."""
HOME = {"README.md": "index.md"}
LINK = re.compile(r"(\]\()(?!\w+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
MATH = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)
NAMES = re.compile(r"<mo>([A-Za-z]{2,})</mo>")
"""Functions, such as cos, as the converter writes them: with the space of an operator."""
BARS = re.compile(r"<mo>(&#x02016;|&#x0007C;)</mo>")
"""Norms and sizes, which would grow to the height of the line."""
LANGUAGES = {".py": "python", ".txt": "text", ".sh": "sh"}
"""Of files that are shown on a page of their own."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages outside docs/, what else of the repository they link to, and a font."""
    font = str(contents(ziamath) / "fonts" / "STIXTwoMath-Regular.ttf")
    files.append(File.generated(config, "assets/math.ttf", abs_src_path=font))
    for path, uri in PAGES.items():
        files.append(File.generated(config, uri, abs_src_path=str(ROOT / path)))
    for file in list(files.documentation_pages()):
        for _, target, _ in LINK.findall(file.content_string):
            path = _target(file.src_uri, target)
            uri = _uri(path)
            if uri not in files.src_uris and (ROOT / path).is_file():
                files.append(_shown(path, uri, config))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of the repository into those of the site."""
    here = posixpath.dirname(page.file.src_uri)

    def on_site(link: re.Match[str]) -> str:
        path = _target(page.file.src_uri, link[2])
        if not (ROOT / path).exists():  # code that looks like a link, or a mistake: not ours
            return link[0]
        uri = _uri(path)
        return f"{link[1]}{posixpath.relpath(uri, here or '.')}{link[3] or ''}"

    return LINK.sub(on_site, markdown).replace("<!-- fields of RunSpec -->", _fields())


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn formulas into MathML."""

    def drawn(formula: re.Match[str]) -> str:
        display = "block" if formula[1] == "div" else "inline"
        made = convert(html.unescape(formula[2]).strip(), display=display)
        made = BARS.sub(r'<mo stretchy="false">\1</mo>', NAMES.sub(r"<mi>\1</mi>", made))
        return f'<{formula[1]} class="formula">{made}</{formula[1]}>'

    return MATH.sub(drawn, content)


def _target(page: str, link: str) -> str:
    """Return what a link of a page of the site names, as a path of the repository."""
    outside = {uri: path for path, uri in PAGES.items()}
    source = outside.get(page, f"docs/{page}")
    return posixpath.normpath(posixpath.join(posixpath.dirname(source), link))


def _uri(path: str) -> str:
    """Return where a path of the repository is on the site."""
    if known := {**PAGES, **HOME}.get(path):
        return known
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"repository/{path}" + ".md" * (Path(path).suffix in LANGUAGES)


def _fields() -> str:
    """Return the settings of a run as a table."""
    rows = ["| option | default | what it is |", "| --- | --- | --- |"]
    for knob in dataclasses.fields(RunSpec):
        if knob.name in SETTLED_FIELDS:
            continue
        choices = ", ".join(f"`{choice}`" for choice in knob.metadata["one_of"])
        told = knob.metadata["help"].replace("|", "\\|") + (f": {choices}" if choices else "")
        default = RunSpec().to_params()[knob.name]
        rows.append(f"| `{knob.name}` | `{default}` | {told} |")
    return "\n".join(rows)


def _shown(path: str, uri: str, config: MkDocsConfig) -> File:
    """Return a file of the repository as one of the site: code and text on a page."""
    language = LANGUAGES.get(Path(path).suffix)
    if language is None:
        return File.generated(config, uri, abs_src_path=str(ROOT / path))
    text = (ROOT / path).read_text()
    content = f"---\nsearch: {{exclude: true}}\n---\n\n# {path}\n\n`````{language}\n{text}\n`````\n"
    return File.generated(config, uri, content=content)
