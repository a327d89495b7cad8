"""Every stored number of `results/` comes out of the experiments' files again.

`golden/KIND.json` was written once from what the sweeps had left on their parent runs: verdicts and
tables. It names what may differ, and why.
"""

import importlib
import json
from pathlib import Path

import pandas as pd
import pytest

from credit.lab import Results, results
from credit.tracking.exported import Export

GOLDEN = Path(__file__).parent / "golden"
RESULTS = Path(__file__).parents[2] / "results"
KINDS = sorted({path.name.split(".")[0] for path in GOLDEN.glob("*.json")})


@pytest.mark.parametrize("kind", KINDS)
def test_stored_numbers_are_computed_again(kind: str):
    export = Export(RESULTS / kind)
    parent = export.parents(kind)[0]
    known = {own["parent"]: own for own in map(_read, GOLDEN.glob(f"{kind}.*json"))}
    golden = known[parent]  # of a sweep that replaces another, both are kept until it has
    module = importlib.import_module(f"credit.experiments.{kind}")
    found = results(module.EXPERIMENT, export.runs(parent), export)
    wrong = [*_verdicts(golden, found)]
    for name, stored in golden["tables"].items():
        wrong += _numbers(stored, found.table if name == "table" else found.more[name], name)
    assert not wrong, "\n".join(wrong)


def _read(path: Path) -> dict:
    return json.loads(path.read_text())


def _verdicts(golden: dict, found: Results) -> list[str]:
    own, wrong = {(v.rule, v.check, v.place): v for v in found.verdicts}, []
    assert len(own) == len(found.verdicts), "two verdicts of one name"
    may = {(d["rule"], d["check"], d.get("place", "")): d["now"] for d in golden["differences"]}
    for stored in golden["verdicts"]:
        key = stored["rule"], stored["check"], stored.get("place", "")
        verdict = own.pop(key, None)
        status = verdict.status if verdict else "absent"
        same = status in (stored["status"], may.get(key))
        if verdict and same:
            same = _same(verdict.value, stored["value"])
            same &= _same(verdict.threshold, stored["threshold"])
        if not same:
            wrong.append(f"{key}: {stored}, now {verdict}")
    return wrong + [f"{key}: new" for key in own if may.get(key) != "new"]


def _numbers(stored: dict, found: pd.DataFrame, name: str) -> list[str]:
    """Differences; a stored column may be computed from new ones: "100 * difference_accuracy"."""
    keys, columns = stored["keys"], stored["columns"]
    old = pd.DataFrame(stored["rows"], columns=[*keys, *columns])
    new = pd.concat([found[keys], *(found.eval(c).rename(o) for o, c in columns.items())], axis=1)
    for frame in (old, new):
        frame[keys] = frame[keys].astype(str)
    if sorted(map(tuple, old[keys].values)) != sorted(map(tuple, new[keys].values)):
        return [f"{name}: other rows"]
    both = old.merge(new, on=keys, suffixes=("_old", "_new"), validate="one_to_one")
    return [
        f"{name}: {row[keys].tolist()} {column} {row[f'{column}_old']} {row[f'{column}_new']}"
        for _, row in both.iterrows()
        for column in columns
        if not _same(row[f"{column}_new"], row[f"{column}_old"])
    ]


def _same(one: float | None, other: float | None) -> bool:
    if pd.isna(one) or pd.isna(other):
        return bool(pd.isna(one) and pd.isna(other))
    return one == pytest.approx(other, rel=1e-9, abs=1e-9)
