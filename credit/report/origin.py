"""Origin of a report's numbers: set-up, parent run, code, dates and the command that made them."""

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from platform import python_version
from urllib.parse import quote

import pandas as pd
from mlflow.entities import Run

from credit import rules
from credit.lab import Experiment
from credit.lab.looks import RULES
from credit.spec import LEARNED_FIELDS, RunSpec, format_value, same_value
from credit.tracking.marks import COMMIT, DIRTY, IMPORTED_FROM, KIND, settings
from credit.tracking.reader import Reader
from credit.tracking.rows import Row
from credit.tracking.store import is_http, project_root, shown, sqlite_path

_PACKAGES = ("credit", "mlflow", "pandas", "numpy", "matplotlib", "jinja2", "torch")


@dataclass(frozen=True)
class Origin:
    """A parent run, its child runs and the store that holds them."""

    run: Run
    rows: Sequence[Row]
    uri: str
    """Without user name and password; a file in the project's folder by its name alone."""

    @property
    def commits(self) -> list[str]:
        """The commits that child runs name; anything else in their place is left out."""
        found = dict.fromkeys(row.tags.get(COMMIT, "") for row in self.rows)
        return [commit for commit in found if re.fullmatch(r"[0-9a-f]{7,64}", commit)]

    @property
    def changed(self) -> int:
        """Child runs whose code differed from the commit."""
        return sum(row.tags.get(DIRTY) == "true" for row in self.rows)

    @property
    def imported(self) -> int:
        """Child runs that were imported."""
        return sum(IMPORTED_FROM in row.tags for row in self.rows)

    @property
    def http(self) -> bool:
        """Return whether a server holds the runs."""
        return is_http(self.uri)

    @property
    def ui_command(self) -> str:
        """The command that shows the runs; empty where a server does."""
        return "" if self.http else f"mlflow ui --backend-store-uri {shlex.quote(self.uri)}"

    def page(self, run_id: str) -> str:
        """Return the address of a run's page on the server."""
        experiment = quote(str(self.run.info.experiment_id), safe="")
        return f"{self.uri.rstrip('/')}/#/experiments/{experiment}/runs/{quote(run_id, safe='')}"

    def facts(self, runs: pd.DataFrame) -> dict[str, str]:
        """Return where the runs are, by what they were made, and how long that took."""
        info, counts = self.run.info, runs["status"].value_counts()
        facts = {
            "parent run": f"{info.run_name or ''} {info.run_id}",
            "kind": self.run.data.tags.get(KIND, ""),
            "tracking store": self.uri,
            "experiment": str(info.experiment_id),
            "code (git commit)": ", ".join(self.commits),
            "parent started": when(info.start_time),
            "parent ended": when(info.end_time),
            "child runs": ", ".join(f"{n} {status}" for status, n in counts.items()),
        }
        if info.start_time and info.end_time:
            facts["wall time of the parent"] = lasted(info.end_time - info.start_time)
        if spans := [(row.start, row.end) for row in self.rows if row.start and row.end]:
            first, last = min(s for s, _ in spans), max(e for _, e in spans)
            facts["first run started to last run ended"] = lasted(last - first)
        return {name: value for name, value in facts.items() if value}


def origin_of(reader: Reader, parent_id: str, run_ids: Iterable[str]) -> Origin:
    """Return the parent run and its child runs as the store knows them."""
    parent, wanted = reader.run(parent_id), set(run_ids)
    rows = [row for row in reader.used(parent=parent_id) if row.run_id in wanted]
    path, root = sqlite_path(reader.uri), project_root()
    inside = path and path.is_relative_to(root)
    uri = f"sqlite:///{path.relative_to(root)}" if path and inside else shown(reader.uri)
    return Origin(parent, rows, uri)


def versions() -> dict[str, str]:
    """Return the versions that made the report; what is not installed is left out."""
    found = {"Python": python_version()}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def when(milliseconds: int | None) -> str:
    """Return a time to the minute, UTC."""
    if not milliseconds:
        return ""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")


def lasted(milliseconds: int) -> str:
    """Return a duration: "1 h 45 min", "12 min", "3.1 s"."""
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    hours, minutes = divmod(round(milliseconds / 60_000), 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def command(experiment: Experiment, params: Mapping[str, str]) -> str:
    """Return the command that makes the runs again: the preset, and options that differ from it.

    Args:
        params: of the parent run, as they were logged.
    """
    known = settings(params)
    preset = known.pop("preset", "")
    preset = preset if preset in experiment.presets else ""
    words = [f"--preset {shlex.quote(preset)}"] if preset else []
    usual = {**RunSpec().to_params(), **experiment.presets.get(preset or "published", {})}
    if usual.get("ks") == "all":
        depth = known.get("depth", "")
        last = int(depth) if depth.isdecimal() else RunSpec.depth
        usual["ks"] = ",".join(map(str, range(last + 1)))
    options = experiment.defaults()
    for name, value in known.items():
        if name in options and not (name in usual and same_value(value, usual[name])):
            between = "=" if value.startswith("-") else " "
            words.append(f"--{name}{between}{shlex.quote(value)}")
    return " \\\n    ".join([f"credit {experiment.kind}", *words])


def setup(runs: pd.DataFrame) -> list[str]:
    """Return network, training, estimators and measurement, a sentence each."""

    def listed(name: str, own: pd.DataFrame = runs) -> str:
        return ", ".join(map(format_value, sorted(own[name].unique().tolist())))

    samples = sorted(set(runs["train_samples"]))
    used = " or ".join("all samples" if n == 0 else f"the first {n} samples" for n in samples)
    crops = " with random crops and flips" if runs["augment"].all() else ""
    found = [
        f"{_network(runs, listed)}; the last k = {listed('k')} blocks train.",
        f"{listed('epochs')} epochs over {used}{crops} in batches of {listed('batch_size')}; "
        f"AdamW, learning rate {listed('lr')} falling to 0 by a cosine, weight decay "
        f"{listed('weight_decay')}; {listed('precision')} on {listed('device')}; "
        f"seeds {listed('seed')}.",
    ]
    own = runs.loc[[_is_learned(run) for run in runs.to_dict("records")]]
    if len(own):
        found.append(
            f"{', '.join(RULES.in_order(own['rule']))} learn an estimator beside the network: "
            f"{listed('estimator_depth', own)} layers of {listed('estimator_width', own)} units, "
            f"AdamW at {listed('estimator_lr', own)}; a step shows it each sample at "
            f"{listed('estimator_layers', own)} layers (0: all)."
        )
    return [
        *found,
        f"Measured on {listed('measure_samples')} held-out samples, every "
        f"{listed('measure_every')} epochs and at the last. The last epoch counts: test accuracy "
        "selects neither an epoch nor a run.",
    ]


def _network(runs: pd.DataFrame, listed: Callable[[str], str]) -> str:
    """Return which network the runs are of: settings that others do not read are resmlp's."""
    sizes = f"L = {listed('depth')}"
    if set(runs["network"]) != {RunSpec.network}:
        return (
            f"{listed('network')} on {listed('dataset')}: width {listed('width')}, {sizes} blocks"
        )
    norms = {True: "with", False: "without"}
    norm = " or ".join(norms[value] for value in sorted(set(runs["terminal_norm"]), reverse=True))
    bend = listed("activation")
    if set(runs["activation"]) == {"phi"}:
        bend = f"φ(z) = (1−α) z + α tanh(z), α = {listed('alpha')}"
    return (
        f"Residual MLP on {listed('dataset')}: d = {listed('width')} units per hidden state, "
        f"{sizes} residual blocks ({bend}), {norm} LayerNorm before the output layer"
    )


def _is_learned(run: Mapping) -> bool:
    """Return whether a run has an estimator of the shared form, and trained or changed it."""
    rule = run["rule"]
    if rule in rules.available() and "estimator_width" not in rules.knobs(rule):
        return False
    known = run.get("cost/estimator_parameters")
    if known is not None and known == known:
        return known > 0
    return any(run[name] != getattr(RunSpec, name) for name in LEARNED_FIELDS)
