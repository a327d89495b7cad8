"""Known vulnerabilities in what the project needs, as it is installed here, by pip-audit.

Fails where a fixed release exists that every requirement allows: installing it is then all there is
to do. One that no requirement allows, or that nobody has fixed, is only reported. Where PyPI does
not answer, the last line says "not checked", and the exit status is 0.
"""

import json
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
PROBE_S, AUDIT_S = 60, 600

Pins = dict[str, SpecifierSet]
"""Package -> what all requirements together allow."""


def main() -> int:
    """Audit, print what is found, and return the exit status."""
    if find_spec("pip_audit") is None:
        print("audit-deps: pip-audit is not installed: make setup installs it")
        return 1
    installed, pins = needed(ROOT / "pyproject.toml")
    first, version = next(iter(installed.items()))
    answer = pip_audit({first: version}, PROBE_S)
    if answer is None or not answered(answer):
        return unchecked(len(installed), "PyPI says nothing about vulnerabilities here")
    answer = pip_audit(installed, AUDIT_S)
    if answer is None:
        return unchecked(len(installed), "PyPI has stopped answering")
    mendable, others = judge(answer, pins)
    for line in [*others, *mendable]:
        print(f"audit-deps: {line}")
    print(
        f"audit-deps: {len(answered(answer))} packages checked, {len(mendable)} vulnerabilities to "
        f"mend, {len(others)} without a release that fits"
    )
    if missed := len(answer["dependencies"]) - len(answered(answer)):
        unchecked(missed, "PyPI does not know them")
    return 1 if mendable else 0


def unchecked(count: int, why: str) -> int:
    """Print how many packages nobody could be asked about; return the exit status of that."""
    print(f"audit-deps: not checked: {count} packages ({why})")
    return 0


def needed(pyproject: Path, extras: Iterable[str] = ("dev",)) -> tuple[dict[str, str], Pins]:
    """The installed packages that a project needs, directly or not: versions and pins.

    With those of its extras. A requirement that is not installed is left out.
    """
    project = tomllib.loads(pyproject.read_text())["project"]
    optional = project["optional-dependencies"]
    texts = [*project["dependencies"], *(text for extra in extras for text in optional[extra])]
    todo = [Requirement(text) for text in texts]
    installed: dict[str, str] = {}
    pins: Pins = {}
    seen: set[str] = set()
    while todo:
        requirement = todo.pop()
        name = canonicalize_name(requirement.name)
        pins[name] = pins.get(name, SpecifierSet()) & requirement.specifier
        extras = {"", *requirement.extras}
        if {f"{name}[{extra}]" for extra in extras} <= seen:
            continue
        seen |= {f"{name}[{extra}]" for extra in extras}
        try:
            found = distribution(name)
        except PackageNotFoundError:
            continue
        installed[name] = Version(found.version).public  # PyPI knows no +cpu
        for text in found.requires or ():
            further = Requirement(text)
            marker = further.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                todo.append(further)
    return dict(sorted(installed.items())), pins


def pip_audit(installed: dict[str, str], seconds: float) -> dict | None:
    """pip-audit's own JSON about some packages, or None where it got no answer."""
    with tempfile.TemporaryDirectory() as folder:
        listed = Path(folder) / "requirements.txt"
        listed.write_text("".join(f"{name}=={version}\n" for name, version in installed.items()))
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(listed), "--no-deps"]
        command += ["--disable-pip", "--progress-spinner=off", "--format=json", "--timeout=10"]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds)
            return json.loads(done.stdout)
        except (subprocess.TimeoutExpired, ValueError):
            return None


def answered(answer: dict) -> list[dict]:
    """What PyPI knew."""
    return [found for found in answer["dependencies"] if "skip_reason" not in found]


def judge(answer: dict, pins: Pins) -> tuple[list[str], list[str]]:
    """A line for each vulnerability: those with a fix within the pins, and the others."""
    mendable, others = [], []
    for package in answered(answer):
        here, pin = Version(package["version"]), pins[canonicalize_name(package["name"])]
        for flaw in package["vulns"]:
            fixed = [Version(text) for text in flaw["fix_versions"] if Version(text) > here]
            line = f"{package['name']} {package['version']}: {flaw['id']}"
            if allowed := sorted(v for v in fixed if pin.contains(v, prereleases=False)):
                mendable.append(f"{line}, mended in {allowed[0]}: raise its pin and install it")
            elif fixed:
                others.append(f"{line}, mended in {_listed(fixed)}, which {pin} does not allow")
            else:
                others.append(f"{line}, not mended by anyone")
    return mendable, others


def _listed(versions: Iterable[Version]) -> str:
    return ", ".join(map(str, sorted(versions)))


if __name__ == "__main__":
    sys.exit(main())
