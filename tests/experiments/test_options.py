"""Options that make no sense are refused before anything is trained; a preset's cells differ."""

import pytest

from credit.errors import CreditError
from credit.experiments import KINDS, find
from credit.spec import RunSpec, warmup_epochs
from credit.sweep.sweep import resolve


def specs_of(kind: str, **options: str) -> list[RunSpec]:
    """Return the runs as `launch` asks for them before it trains the first."""
    experiment = find(kind)
    complete = experiment.complete or experiment.grid
    return [resolve(spec) for spec in complete(experiment.settled({**options, "device": "cpu"}))]


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("method_comparison", {"rules": "bp,bp"}, "names an item twice"),
        ("method_comparison", {"rules": "bridge"}, "unknown rule 'bridge'"),
        ("method_comparison", {"preset": "reduce"}, "unknown preset 'reduce': did you mean"),
        ("depth_scan", {"depths": "2,x"}, "depths='x' is not a whole number"),
        ("depth_scan", {"depths": "0"}, "depths=0 is too small"),
        ("frozen_recovery", {"networks": "256by4"}, "networks='256by4' is not width x depth"),
        ("frozen_recovery", {"networks": "256x4,256x04"}, "names a network twice"),
        ("frozen_recovery", {"networks": "0x4"}, "width=0 is too small"),
        ("frozen_recovery", {"networks": ""}, "has an empty item"),
        ("frozen_recovery", {"arms": "M5"}, "unknown arm 'M5': choose from dfa, "),
        ("frozen_recovery", {"reference_epochs": "0"}, "epochs=0 is too small"),
        ("frozen_recovery", {"reference_samples": "-1"}, "reference_samples=-1 is too small"),
        ("online_scan", {"arms": "credit_eT"}, "arms=credit_eT needs dfa and another"),
        ("online_scan", {"arms": "dfa"}, "arms=dfa needs dfa and another"),
        ("online_scan", {"arms": "dfa,credit"}, "unknown arm 'credit'"),
        ("online_scan", {"warmups": "0,2"}, "warmups=2.0 is too large"),
        ("online_scan", {"tgws": "-1"}, "is too small"),
        ("online_scan", {"seeds": "-5"}, "seeds=-5 is too small"),
        ("online_scan", {"scan_seeds": "a"}, "scan_seeds='a' is not a whole number"),
        ("matched_controls", {"controls": "shalow"}, "unknown control 'shalow': did you mean"),
        ("matched_controls", {"control_penalty": "much"}, "penalty='much' is not a number"),
        ("matched_controls", {"dataset": "toy_lq"}, "dataset=toy_lq has no network"),
        ("credit_scale", {"epss": "0,-1"}, "epss=-1.0 is too small"),
        ("credit_scale", {"epss": "1e-6,0.000001"}, "names a number twice"),
        ("credit_scale", {"reductions": "mean,max"}, "unknown credit_reduction 'max'"),
        ("credit_scale", {"reductions": "mean,published"}, "which stands for mean or sum"),
        ("nonlinearity_ladder", {"alphas": "1,1.5"}, "alphas=1.5 is too large: pass at most 1"),
        ("nonlinearity_ladder", {"alphas": "0,x"}, "alphas='x' is not a number"),
        ("nonlinearity_ladder", {"alphas": "1,1.0"}, "alphas='1,1.0' names a number twice"),
        ("nonlinearity_ladder", {"depths": "0"}, "depths=0 is too small"),
        ("nonlinearity_ladder", {"depths": "2,2"}, "depths='2,2' names an item twice"),
        (
            "nonlinearity_ladder",
            {"alphas": "0,0.5"},
            "field_alphas=1 has 1, which is not in alphas=0,0.5: name some of these, or all",
        ),
        ("boundary_ablation", {"codes": "eT,deltal"}, "unknown code 'deltal': did you mean"),
        ("boundary_ablation", {"warmup_code": "e"}, "unknown warmup_code 'e'"),
        ("boundary_ablation", {"warmups": "0,2"}, "warmups=2.0 is too large"),
        ("boundary_ablation", {"tgws": "-1"}, "tgws=-1.0 is too small"),
        ("boundary_ablation", {"seeds": ""}, "seeds='' has an empty item"),
        ("vector_audit", {"arms": "shufle"}, "unknown arm 'shufle': did you mean 'shuffle'"),
        ("vector_audit", {"arms": "M4,M4"}, "names an item twice"),
        ("vector_audit", {"preset": "fast"}, "unknown preset 'fast'"),
        ("toy_lq", {"tgws": "1,x"}, "tgws='x' is not a number"),
        ("toy_lq", {"depth": "0"}, "depth=0 is too small"),
        ("ladder", {"ks": "0,5"}, "k=5 exceeds depth=4"),
        ("audit", {"rule": "bp,fa"}, "is not one rule"),
        ("audit", {"rule": "fa", "ks": "0,1"}, "ks=0,1 leaves out 4"),
    ],
)
def test_bad_options_are_named(kind, options, message):
    with pytest.raises(CreditError, match=message):
        specs_of(kind, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_presets_name_warm_ups_of_whole_epochs(kind):
    """Otherwise a cell of the table would repeat another under a wrong name."""
    for preset in find(kind).presets.values():
        ratios = preset.get("warmups", preset.get("warmup_ratio", "0.05")).split(",")
        epochs = int(preset.get("epochs", RunSpec.epochs))
        whole = [warmup_epochs(float(ratio), epochs) for ratio in ratios]
        assert len(set(whole)) == len(whole)


@pytest.mark.parametrize(("epochs", "resolved"), [(4, 0.0), (100, 0.05)])
def test_a_warm_up_of_no_epoch_is_called_none(epochs, resolved):
    spec = RunSpec(rule="credit_bridge", warmup_ratio=0.05, epochs=epochs, device="cpu")
    assert resolve(spec).warmup_ratio == resolved
