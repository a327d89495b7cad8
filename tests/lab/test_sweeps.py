"""A run that stands in several sweeps of the boundary ablation."""

from credit.experiments.boundary_ablation import in_sweeps
from tests.lab.made import made


def test_the_base_is_in_every_sweep_and_is_what_most_points_share():
    rows = ({}, {"tgw": 0}, {"tgw": 4}, {"code": "deltaL"}, {"code": "deltaL", "warmup_ratio": 0.5})
    found = in_sweeps(made(*rows, rule="credit_bridge"))
    points = [tuple(row) for row in found[["sweep", "value", "base"]].to_numpy()]
    assert points == [
        ("code", "eT", "base"),
        ("code", "deltaL", ""),
        ("tgw", "1", "base"),
        ("tgw", "0", ""),
        ("tgw", "4", ""),
        ("warmup_ratio, code=deltaL", "0.05", ""),
        ("warmup_ratio, code=deltaL", "0.5", ""),
    ]
