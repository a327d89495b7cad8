"""Print the versions, as installed here, of all that the core needs: constraints.txt.

Run it where every test has passed: `make constraints`.
"""

from audit_deps import ROOT, needed

installed, _ = needed(ROOT / "pyproject.toml", extras=())
print("# Versions that all tests have passed with. Use: pip install -c constraints.txt .")
print("# Written by `make constraints`; a line for another system's package does no harm.")
print(*(f"{name}=={version}" for name, version in installed.items()), sep="\n")
