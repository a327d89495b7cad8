"""Numbers that documents print are those of `results/`."""

import re
from collections.abc import Iterator
from functools import cache

import pandas as pd
import pytest

from credit import experiments
from credit.lab import Results, quantities, results
from credit.tracking.exported import Export
from tests.commands import ROOT

NUMBER = re.compile(r"(?<![\w.·⁻−-])[−+-]?\d*\.\d+|(?<![\w.·⁻−-])[−+-]?\d+(?![\w.·])")


@cache
def found(kind: str) -> Results:
    export = Export(ROOT / "results" / kind)
    kind = max(filter(kind.startswith, experiments.KINDS), key=len)  # further runs have a suffix
    return results(experiments.find(kind), export.runs(export.parents(kind)[0]), export)


@cache
def tables(document: str) -> dict[tuple[str, ...], list[list[str]]]:
    known: dict[tuple[str, ...], list[list[str]]] = {}
    block: list[list[str]] = []
    for line in [*(ROOT / document).read_text().splitlines(), ""]:
        if line.strip().startswith("|"):
            block.append([cell.strip() for cell in line.strip().strip("|").split("|")])
        elif block:
            known[tuple(block[0])] = block[2:]
            block = []
    return known


def rows(document: str, *heading: str) -> dict[str, list[str]]:
    """The cells of a table whose heading begins so, by the first cell of their row."""
    own = next(body for head, body in tables(document).items() if head[: len(heading)] == heading)
    return {row[0]: row[1:] for row in own}


def numbers(text: str) -> list[tuple[float, float]]:
    """The numbers of a text, and half of the last digit of each."""
    found = (own.replace("−", "-") for own in NUMBER.findall(text))
    return [(float(own), 0.5 * 10.0 ** -len(own.partition(".")[2])) for own in found]


def same(printed: str, *values: float) -> bool:
    """Whether a text has these numbers and no other, each rounded to its digits."""
    own = numbers(printed)
    return len(own) == len(values) and all(
        abs(number - value) <= half * 1.001
        for (number, half), value in zip(own, values, strict=True)
    )


def value(kind: str, column: str, **cell) -> float:
    table = found(kind).table
    for name, label in cell.items():
        table = table.loc[table[name] == label]
    assert len(table) == 1, (kind, cell)
    return float(table[column].iloc[0])


def test_the_ladder_of_the_readme():
    body = next(b for h, b in tables("README.md").items() if h[:3] == ("rule", "values", "k=0"))
    assert len(body) == 10
    for rule, what, *cells in body:
        for k, cell in enumerate(cells):
            column = {"ours": "accuracy", "reported": "reported_accuracy"}.get(
                what, "difference_accuracy"
            )
            own = value("ladder", column, rule=rule, k=k)
            if what == "difference, points":
                assert same(cell, 100 * own), (rule, k, cell)
            else:
                assert same(cell, own, value("ladder", f"{column}_sd", rule=rule, k=k)), (rule, k)


def test_the_online_cells_of_published_length():
    body = rows("docs/results.md", "credit_eT, warm-up .2")
    names = ("accuracy", "alignment", "rho", "s1", "s2")
    for tgw in (1, 4):
        for what, prefix in (("ours", ""), ("reported", "reported_")):
            for printed, name in zip(body[f"tgw {tgw}, {what}"], names, strict=True):
                own = value("online_scan_100", f"{prefix}{name}", arm="credit_eT", weight=tgw)
                assert same(printed, own), (tgw, what, name)


def test_the_cosines_of_dfa_by_layer():
    export = Export(ROOT / "results" / "ladder_512")
    runs = export.runs(export.parents("ladder")[0]).query("rule == 'dfa' and k == 2")
    h = [runs[f"alignment/h{layer:02}"] for layer in range(3)]
    assert len(runs) == 3
    body = rows("docs/results.md", "cosine, dfa k=2, L=2", "h_0")["ours"]
    for printed, own in zip(body, (*h, (h[0] + h[1]) / 2, (h[1] + h[2]) / 2), strict=True):
        assert same(printed, own.mean(), own.std()), printed


def test_the_atlas():
    body = rows("docs/results.md", "rule", "k=0", "k=4", "Γ, l < L")
    taken = ("nothing", "signs", "weights", "the gradient")
    assert len(body) == len(found("atlas").table) / 2
    for rule, (frozen, whole, gamma, share, takes, flops) in body.items():
        assert same(frozen, value("atlas", "accuracy", rule=rule, k=0)), rule
        own = {"rule": rule, "k": 4}
        assert same(whole, value("atlas", "accuracy", **own)), rule
        known = value("atlas", "alignment_inner", **own)
        assert gamma == "–" if pd.isna(known) else same(gamma, known), rule
        assert same(share, value("atlas", "nudge_share", **own)), rule
        assert takes == taken[int(value("atlas", "transport", **own))], rule
        assert flops == quantities.FLOPS.text(value("atlas", "flops", **own)), rule


def test_the_direction_numbers():
    text = " ".join((ROOT / "docs/results.md").read_text().split())
    layers = found("direction_quality").more["layers"]
    plain = layers.loc[layers["penalty"] == 0].set_index("layer")
    printed = re.search(r"raw cosines are ([^(]+) \(reported: ([^)]+)\)", text)
    assert printed and same(printed[1], *plain["raw_cosine"])
    assert same(printed[2], *plain["reported_alignment"])
    last = plain.loc[4]
    norms = re.search(r"‖h_L‖ is 6·10⁸ and ‖g_L‖ 3·10⁻⁷ per sample", text)
    assert norms and 5.5e8 < last["hidden_norm"] < 6.5e8 and 2.5e-7 < last["grad_norm"] < 3.5e-7
    own = value("direction_quality", "alignment_middle", penalty=0.01)
    sd = value("direction_quality", "alignment_middle_sd", penalty=0.01)
    judged = re.search(r"\|cos\| at layer 2 is ([^:]+):", text)
    assert judged and same(judged[1], abs(own), sd)


def test_gamma_of_the_nonlinearity_ladder():
    body = rows("docs/results.md", "rule", "ours", "reported")
    assert len(body) == 4
    for rule, (ours, reported) in body.items():
        cells = [{"rule": rule, "alpha": 1.0, "depth": depth} for depth in (2, 4, 8, 12)]
        assert same(ours, *(value("nonlinearity_ladder", "alignment", **cell) for cell in cells))
        known = [value("nonlinearity_ladder", "reported_alignment", **cell) for cell in cells]
        assert same(reported.replace("–", ""), *(v for v in known if not pd.isna(v))), rule


def said(pattern: str) -> list[str]:
    """The groups of a pattern in docs/results.md, however its lines break."""
    match = re.search(pattern, " ".join((ROOT / "docs/results.md").read_text().split()))
    assert match, pattern
    return [*match.groups()]


def test_the_numbers_that_sentences_say():
    costate = said(
        r"steps Γ \(and ρ\) are (.+?) for the state bridge, (.+?) for the credit bridge, (.+?) for "
        r"the vector field, (.+?) for DFA and (.+?) for a credit bridge without"
    )
    variants = ("state_bridge", "credit_bridge", "vector_field", "dfa", "credit_bridge tgw=0")
    for printed, variant in zip(costate, variants, strict=True):
        own = (value("toy_lq", column, variant=variant) for column in ("alignment", "rho"))
        assert same(printed.replace("(", ""), *own), (variant, printed)
    audit = said(r"M=4, Γ: (\S+) against (\S+) at L=4, (\S+) against (\S+) at L=8\)")
    cells = [(variant, depth) for depth in (4, 8) for variant in ("M4", "scalar")]
    for printed, (variant, depth) in zip(audit, cells, strict=True):
        assert same(printed, value("vector_audit", "alignment", variant=variant, depth=depth))
    (accuracies,) = said(r"ahead only at \.5 \(([^)]+)\)")
    warm = [(f"{ratio:g}", "accuracy") for ratio in (0, 0.05, 0.2, 0.5)]
    sweep = "warmup_ratio, code=deltaL"
    own = (value("boundary_ablation", c, sweep=sweep, value=v) for v, c in warm)
    assert same(accuracies, *own)
    (gammas,) = said(r"terminal matching up to 1 \(([^)]+)\)")
    own = (
        value("boundary_ablation", "alignment", sweep="tgw", value=v)
        for v in ("0", "0.25", "1", "4")
    )
    assert same(gammas, *own)


CELLS = {
    "frozen_recovery": (
        ("", "dfa", "state_bridge", "credit_eT"),
        {
            "Γ, ours": "alignment",
            "Γ, reported at 100 epochs, n = 3": "reported_alignment",
            "Γ, l < L, ours": "alignment_inner",
            "ρ, ours": "rho",
        },
        [{"arm": arm} for arm in ("dfa", "state_bridge", "credit_eT", "credit_deltaL")]
        + [{"arm": f"M{m}"} for m in (4, 8, 16)],
    ),
    "method_comparison": (
        ("", "bp", "oracle", "fa"),
        {"accuracy": "accuracy", "Γ": "alignment", "Γ of g_L passed back": "copy"},
        [{"rule": r} for r in ("bp", "oracle", "fa", "dfa", "state_bridge", "credit_bridge")],
    ),
    **{
        f"depth_scan {rule}": (
            ("accuracy", "L=2"),
            {rule: "accuracy"},
            [{"rule": rule, "depth": depth} for depth in (2, 4, 6, 8, 12)],
        )
        for rule in ("bp", "oracle", "fa", "dfa", "state_bridge", "credit_bridge")
    },
    **{
        f"matched_controls {rule}": (
            ("", "k=L", "k=0"),
            {rule: "accuracy"},
            [
                {"rule": rule, "control": c}
                for c in ("k=L", "k=0", "shallow", "penalty", "random labels")
            ],
        )
        for rule in ("bp", "oracle", "fa", "dfa")
    },
    **{
        f"ladder_fashion_mnist {rule}": (
            ("accuracy, Fashion-MNIST", "k=0"),
            {rule: "accuracy"},
            [{"rule": rule, "k": k} for k in range(5)],
        )
        for rule in ("bp", "oracle", "fa", "dfa")
    },
    **{
        f"ladder_512 {rule}": (
            ("accuracy, d=512, L=2", "k=0"),
            {f"{rule}, ours": "accuracy", f"{rule}, reported": "reported_accuracy"},
            [{"rule": rule, "k": k} for k in range(3)],
        )
        for rule in ("bp", "fa", "dfa")
    },
    "matched_controls_30": (
        ("30 epochs, n = 3", "bp"),
        {"ours": "accuracy", "reported": "reported_accuracy"},
        [{"rule": rule, "control": c} for rule in ("bp", "dfa") for c in ("k=L", "penalty")],
    ),
    **{
        f"credit_scale {name}": (
            ("rule, loss",),
            {name: "accuracy"},
            [
                {"rule": rule, "reduction": reduction, "eps": eps}
                for eps in (0.0, 1e-12, 1e-8, 1e-6, 1e-4)
            ],
        )
        for name, rule, reduction in (
            ("fa, mean (published)", "fa", "mean"),
            ("fa, sum", "fa", "sum"),
            ("dfa, sum (published)", "dfa", "sum"),
        )
    },
}
"""By table of docs/results.md: its heading, the columns of its rows, and its cells."""


def checked(name: str) -> Iterator[tuple[str, list[float], str]]:
    heading, columns, cells = CELLS[name]
    kind, body = name.split()[0], rows("docs/results.md", *heading)
    for row, column in columns.items():
        assert len(body[row]) == len(cells), row
        for cell, printed in zip(cells, body[row], strict=True):
            values = [value(kind, column, **cell)]
            if "±" in printed:
                values.append(value(kind, f"{column}_sd", **cell))
            if cell.get("control") == "random labels":
                values.append(value(kind, "train", **cell))
            valid = [] if pd.isna(values[0]) or printed == "not valid" else values
            yield f"{row} {cell}", valid, printed


@pytest.mark.parametrize("name", CELLS)
def test_tables_of_the_results(name):
    for what, values, printed in checked(name):
        assert same(printed, *values) or not printed, (what, values, printed)


def test_the_epochs_at_which_verdicts_fire():
    text = (ROOT / "docs" / "results.md").read_text()
    said = re.findall(r"(D[12])(?: fires)? at(?: epoch)? ([\d.]+ ± [\d.]+\d)", text)
    assert [check for check, _ in said] == ["D2", "D1"]
    for check, printed in said:
        own = (
            value("protocol_100", f"{check.lower()}_fires{end}", rule="dfa") for end in ("", "_sd")
        )
        assert same(printed, *own), (check, printed)
