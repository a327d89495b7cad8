"""The one exception a user is meant to read, and the one that a signal raises."""


class CreditError(Exception):
    """Something the user can mend. The message is one line: the value at fault, then the remedy.

    Entry points print it to stderr without a traceback and exit with status 1.

    Attributes:
        result: what there is in spite of it, for the terminal; printed first.
    """

    result: str = ""


class Stopped(BaseException):
    """Asked to stop by a signal. Not an Exception: no handler may swallow it."""
