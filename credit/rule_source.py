"""The code of a rule from outside the package, as part of what its runs are.

Whoever writes a rule edits its file between two runs. A run is known by its settings, of which the
code of such a rule is one: after an edit the same command trains anew, and what the older code has
trained stays what it is.
"""

import ast
import hashlib
import inspect
from functools import lru_cache
from pathlib import Path

from credit import rules
from credit.errors import CreditError

NONE = "none"
_DIGITS = 16
_NOT_THEIRS = ("builtins", "credit")


@lru_cache
def digest(name: str) -> str:
    """Hex digits that name the code of the rule `package.module:Rule`.

    It is that of the files of its class and of the classes it derives from, as far as they are from
    outside this package. Comments, docstrings and layout do not count, nor does what the files
    import. As this process has loaded it: an edit counts from the next one on.

    Returns:
        "none" for rules of this package, whose changes git tells, and for rules that cannot be
        loaded.
    """
    if ":" not in name:
        return NONE
    try:
        classes = type(rules.get(name)).__mro__
        outside = [c for c in classes if c.__module__.partition(".")[0] not in _NOT_THEIRS]
        files = dict.fromkeys(inspect.getsourcefile(c) or "" for c in outside)
        texts = [_code(Path(file).read_text()) for file in files]
    except (CreditError, OSError, TypeError, SyntaxError):  # no such file, or no source of it
        return NONE
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:_DIGITS]


def _code(text: str) -> str:
    """A file without comments, docstrings and layout."""
    tree = ast.parse(text)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return ast.unparse(tree)


def _is_text(node: ast.stmt) -> bool:
    """A docstring, of whatever it stands below."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
