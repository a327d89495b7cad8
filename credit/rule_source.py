"""The code of a rule from outside the package, as part of what its runs are.

Whoever writes a rule edits its file between two runs. A run is known by its settings, of which the
code of such a rule is one: after an edit the same command trains anew, and what the older code has
trained stays what it is.
"""

import ast
import hashlib
import inspect
import sys
from functools import lru_cache

from credit import rules
from credit.errors import CreditError

NONE = "none"
_DIGITS = 16


@lru_cache
def digest(name: str) -> str:
    """Hex digits that name the code of the file of the rule `package.module:Rule`.

    Comments, docstrings and layout do not count, nor does what the file imports. As this process
    has loaded it: an edit counts from the next one on.

    Returns:
        "none" for rules of this package, whose changes git tells, and for rules that cannot be
        loaded.
    """
    module, colon, _ = name.partition(":")
    if not colon:
        return NONE
    try:
        rules.get(name)
        tree = ast.parse(inspect.getsource(sys.modules[module]))
    except (CreditError, OSError, TypeError, SyntaxError):  # no such file, or no source of it
        return NONE
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [part for part in node.body if not _is_text(part)] or [ast.Pass()]
    return hashlib.sha256(ast.unparse(tree).encode()).hexdigest()[:_DIGITS]


def _is_text(node: ast.stmt) -> bool:
    """A docstring, of whatever it stands below."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
