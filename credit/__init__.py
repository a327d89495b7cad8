"""credit: the audit bench for credit assignment."""

__version__ = "0.1.0"
