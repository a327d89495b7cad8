"""Colours of rules as people see them: told apart by every kind of colour vision, and in grey."""

import itertools

import numpy as np
import pytest
from matplotlib import colors

from credit.figures import style
from credit.lab.looks import fitted, style_of
from credit.rules import available, get

LOOKS = {rule: style_of(rule) for rule in available()}
PUBLISHED = [rule for rule in LOOKS if (look := get(rule).look) and look.place < 10]
SIGHT = {
    "all cones": np.eye(3),
    "protanopia": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deuteranopia": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritanopia": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}
"""What is left of linear RGB: Machado, Oliveira and Fernandes (2009), severity 1.0."""
XYZ = np.array(
    [
        [0.4124564, 0.3575761, 0.1804375],
        [0.2126729, 0.7151522, 0.0721750],
        [0.0193339, 0.1191920, 0.9503041],
    ]
)
"""Linear sRGB to CIE XYZ, D65."""


def lab(color: str, sight: str = "all cones") -> np.ndarray:
    """Return CIELAB (L* 0 to 100) of a colour as it is seen."""
    rgb = np.array(colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = XYZ @ np.clip(SIGHT[sight] @ linear, 0, 1) / XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def test_lab_of_known_colours():
    np.testing.assert_allclose(lab("#FFFFFF"), [100, 0, 0], atol=0.01)
    np.testing.assert_allclose(lab("#FF0000"), [53.24, 80.09, 67.20], atol=0.02)
    np.testing.assert_allclose(lab("#0000FF"), [32.30, 79.19, -107.86], atol=0.02)
    for sight in SIGHT:  # no kind of sight sees a hue in grey
        np.testing.assert_allclose(lab("#808080", sight), lab("#808080"), atol=0.1)


@pytest.mark.parametrize("sight", list(SIGHT))
def test_colours_of_rules_are_told_apart(sight):
    seen = {rule: lab(look.color, sight) for rule, look in LOOKS.items()}
    pairs = itertools.combinations(seen, 2)
    apart = {(a, b): round(float(np.linalg.norm(seen[a] - seen[b])), 1) for a, b in pairs}
    assert {pair: d for pair, d in apart.items() if d < 15} == {}  # 2.3 is just noticed


def test_colours_of_rules_are_told_apart_in_grey_and_from_the_paper():
    """In grey, those of the published comparisons by colour; any two by colour or marker."""
    light = {rule: float(lab(look.color)[0]) for rule, look in LOOKS.items()}
    published = sorted(light[rule] for rule in PUBLISHED)
    assert min(b - a for a, b in itertools.pairwise(published)) > 7, published
    for a, b in itertools.combinations(LOOKS, 2):
        assert LOOKS[a].marker != LOOKS[b].marker or abs(light[a] - light[b]) > 7, (a, b)
    assert max(light.values()) < 76, light  # white is 100


def test_every_rule_has_a_look_of_its_own_and_what_is_no_rule_is_grey():
    assert len({look.color for look in LOOKS.values()}) == len(LOOKS)
    assert len({LOOKS[rule].marker for rule in PUBLISHED}) == len(PUBLISHED)
    places = [look.place for rule in LOOKS if (look := get(rule).look)]
    assert len(set(places)) == len(LOOKS)
    assert np.ptp(colors.to_rgb(style.look("")["color"])) == 0
    assert np.ptp(colors.to_rgb(style.beside(0)["color"])) == 0
    assert len({style.beside(index)["linestyle"] for index in range(3)}) == 3


def test_ordered_values_get_lighter_and_stay_visible():
    light = [float(lab(colors.to_hex(style.graded(i, 9)))[0]) for i in range(9)]
    assert light == sorted(light) and light[-1] < 90


def test_a_rule_of_another_package_has_a_look_that_stays():
    mine = "examples.sign_symmetric:SignSymmetric"
    assert style_of(mine)[:2] == ("#666600", "h")
    assert fitted("SignSymmetric") == "SignSymmetric"
    cut = {fitted(f"ARuleWithAVeryVeryLongName{i}") for i in range(3)}
    assert len(cut) == 3 and set(map(len, cut)) == {24}
    many = {style_of(f"package.rules:Rule{i}") for i in range(200)}
    assert len(many) == 20
    for other in many:
        assert other.color not in {look.color for look in LOOKS.values()}
        assert other.marker not in {look.marker for look in LOOKS.values()}
