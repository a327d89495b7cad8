"""Runs made by hand, as `Reader.runs` returns them."""

from typing import Any

import pandas as pd

from credit.spec import RunSpec


def made(*rows: dict[str, Any], **common: Any) -> pd.DataFrame:
    """Return one finished run per row; keys with a slash are metrics, others settings.

    `seeds` gives several values of one metric instead of one run: seeds 1, 2, …
    """
    records = []
    for row in rows:
        values = {**common, **row}
        lists = {k: v for k, v in values.items() if isinstance(v, list)}
        count = max(map(len, lists.values()), default=1)
        for place in range(count):
            own = {k: v[place] if k in lists else v for k, v in values.items()}
            records.append(_run(len(records), {"seed": place + 1, **own}))
    return pd.DataFrame(records)


def _run(number: int, values: dict[str, Any]) -> dict[str, Any]:
    extra = {"status", "reason", "started"}
    fields = {k: v for k, v in values.items() if "/" not in k and k not in extra}
    spec = RunSpec.from_mapping(fields)
    run = {
        "run_id": f"run{number}",
        "name": spec.name,
        "status": values.get("status", "FINISHED"),
        "reason": values.get("reason"),
        "started": pd.Timestamp(values.get("started", number), unit="s"),
        "ended": pd.NaT,
        "spec_hash": spec.spec_hash,
        **vars(spec),
    }
    return run | {k: v for k, v in values.items() if "/" in k}
