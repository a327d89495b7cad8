"""The report of a parent run: one HTML file that needs nothing else.

`build` puts together what `credit.analysis` has made of the runs (`Results`), where the runs come
from (`origin`), what was constant and what varied (`settings`), which controls were measured
(`controls`) and what is to be kept in mind (`caveats`). `page` lays it out; whatever is shown is
escaped there, in one place.
"""

from credit.report.page import build

__all__ = ["build"]
