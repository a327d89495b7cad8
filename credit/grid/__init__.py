"""Grids: options as strings -> the list of RunSpecs they mean."""

from credit.grid.frozen import (
    finished_network,
    frozen_arms,
    frozen_recovery,
    on_network_of,
    started_from,
)
from credit.grid.image import (
    credit_scale,
    depth_scan,
    direction_quality,
    ladder,
    matched_controls,
    method_comparison,
)
from credit.grid.matched import matched_width
from credit.grid.online import online_scan, online_seeds
from credit.grid.options import fields, items, numbers, parent_params, reals, settled, tell_unread
from credit.grid.protocol import audit
from credit.grid.synthetic import boundary_ablation, nonlinearity_ladder, toy_lq, vector_audit
from credit.presets import PRESETS

__all__ = [
    "PRESETS",
    "audit",
    "boundary_ablation",
    "credit_scale",
    "depth_scan",
    "direction_quality",
    "fields",
    "finished_network",
    "frozen_arms",
    "frozen_recovery",
    "items",
    "ladder",
    "matched_controls",
    "matched_width",
    "method_comparison",
    "nonlinearity_ladder",
    "numbers",
    "on_network_of",
    "online_scan",
    "online_seeds",
    "parent_params",
    "reals",
    "settled",
    "started_from",
    "tell_unread",
    "toy_lq",
    "vector_audit",
]
