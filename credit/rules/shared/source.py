"""The code of a rule from outside the package, as part of what its runs are.

Whoever writes a rule edits its file between two runs. A run is known by its settings, of which the
code of such a rule is one: after an edit the same command trains anew, and what the older code has
trained stays what it is.
"""

import ast
import hashlib
import inspect
import sysconfig
from functools import lru_cache
from pathlib import Path
from typing import Any

from credit import rules
from credit.errors import CreditError
from credit.networks import kinds

NONE = "none"
_DIGITS = 16
_NOT_THEIRS = ("builtins", "credit")
_LIBRARIES = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib", "platlib")]


@lru_cache
def digest(name: str) -> str:
    """Hex digits that name the code of a rule `package.module:Rule`; "none" for others.

    It is that of the files of its class and of the classes it derives from, as far as they are from
    outside this package and no other library's. Comments, docstrings and layout do not count, nor
    does what the files import, nor Python's version. As this process has loaded it: an edit counts
    from the next one on. A rule that cannot be loaded has "none", too.
    """
    if ":" not in name:
        return NONE
    try:
        classes = type(rules.get(name)).__mro__
        own = _package(classes[0])
        outside = [c for c in classes if _package(c) not in _NOT_THEIRS]
        files = {inspect.getsourcefile(c) or "": _package(c) == own for c in outside}
        texts = [_code(Path(f)) for f, theirs in files.items() if theirs or _is_user(f)]
    except (CreditError, OSError, TypeError, SyntaxError):  # no such file, or no source of it
        return NONE
    return _hashed(texts)


@lru_cache
def network_digest(name: str) -> str:
    """The same of a network `package.module:factory`: of the file of its factory."""
    if ":" not in name:
        return NONE
    try:
        return _hashed([_code(Path(inspect.getsourcefile(kinds.factory(name)) or ""))])
    except (CreditError, OSError, TypeError, SyntaxError):
        return NONE


def _hashed(texts: list[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:_DIGITS]


def _package(kind: type) -> str:
    return kind.__module__.partition(".")[0]


def _is_user(file: str) -> bool:
    return not any(Path(file).is_relative_to(library) for library in _LIBRARIES)


def _code(file: Path) -> str:
    """A file without comments, docstrings and layout."""
    return repr(_parts(ast.parse(file.read_bytes())))  # which knows its encoding


def _parts(node: Any) -> Any:
    """A syntax tree as nested lists, without what is empty: newer Pythons have further fields."""
    if isinstance(node, list):
        return [_parts(part) for part in node if not _is_text(part)]
    if not isinstance(node, ast.AST):
        return node
    fields = [(name, _parts(value)) for name, value in ast.iter_fields(node)]
    return [type(node).__name__, [(name, v) for name, v in fields if v is not None and v != []]]


def _is_text(node: Any) -> bool:
    """A docstring, of whatever it stands below."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
