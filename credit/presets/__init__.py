"""Presets of every experiment, as data: preset name -> options as strings."""

from credit.presets.arms import ARMS, CONTROLS, FROZEN_ARMS, ONLINE_ARMS
from credit.presets.image import IMAGE
from credit.presets.protocol import PROTOCOL
from credit.presets.synthetic import SYNTHETIC

__all__ = ["ARMS", "CONTROLS", "FROZEN_ARMS", "ONLINE_ARMS", "PRESETS"]

PRESETS: dict[str, dict[str, dict[str, str]]] = {**IMAGE, **SYNTHETIC, **PROTOCOL}
"""For every experiment: preset name -> options. A field that a preset leaves out has RunSpec's
default. The published presets are METHODS' recipe; the quick ones take minutes on two CPU cores;
the reduced ones keep the published networks and shorten the training."""
