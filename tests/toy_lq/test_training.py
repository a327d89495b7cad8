"""Toy LQ: the exact costate, what rules learn of it, and its runs in the tracking store."""

import pandas as pd
import pytest
import torch
from torch.testing import assert_close

from credit.randomness import generator
from credit.spec import RunSpec
from credit.sweep import sweep, tracked_stack
from credit.sweep.sweep import Sweep, resolve
from credit.sweep.worker import label
from credit.toy_lq import bundle as bundles
from credit.toy_lq import system, tracked
from credit.toy_lq.bundle import Bundle, measure, train
from credit.tracking.reader import connect
from credit.tracking.store import open_store

F64 = torch.float64
SMALL = {
    "dataset": "toy_lq",
    "width": 8,
    "depth": 3,
    "k": 0,
    "batch_size": 64,
    "train_samples": 6400,
    "epochs": 4,
    "measure_every": 4,
    "measure_samples": 128,
    "directions": 4,
    "estimator_width": 64,
    "estimator_layers": 0,
    "augment": False,
    "device": "cpu",
}


def spec_of(rule: str = "state_bridge", seed: int = 42, **fields) -> RunSpec:
    return resolve(RunSpec.from_mapping({**SMALL, "rule": rule, "seed": seed, **fields}))


def in_float64(seed: int, samples: int = 5, width: int = 12, depth: int = 4):
    found = system.draw_system(seed, width, depth)
    outputs = system.outputs_of(width)
    draws = system.draw_batch(generator(seed, "test"), samples, width, depth, outputs)
    return found, system.Draws(*(draw.to(F64) for draw in draws))


def test_the_costate_is_the_gradient_that_autograd_finds():
    found, draws = in_float64(7)
    seen = system.trace(found, draws, exact=True)
    for layer, costate in enumerate(seen.hidden_grads):
        h = seen.hiddens[layer].clone().requires_grad_()
        end = h
        for noise in draws.process[layer:]:
            end = end @ found.dynamics.mT + noise
        cost = ((end @ found.readout.mT - draws.targets) ** 2).sum() / 2
        (gradient,) = torch.autograd.grad(cost, h)
        assert_close(costate, gradient, rtol=1e-12, atol=1e-12)
    assert_close(seen.grad_out, seen.hidden_grads[-1])
    assert_close(seen.output_losses(seen.hiddens[-1], seen.labels).sum(), cost.detach())


def test_the_system_is_stable_seeded_and_turns():
    found = system.draw_system(1, 64, 12)
    gains = torch.linalg.svdvals(found.dynamics)
    assert_close(gains, torch.full((64,), system.DECAY ** (1 / 12), dtype=F64))
    whole = torch.linalg.matrix_power(found.dynamics, 12)
    assert torch.linalg.eigvals(whole).angle().abs().max() == pytest.approx(system.TURN)
    gram = found.readout @ found.readout.mT
    assert_close(gram, system.GAIN**2 * torch.eye(10, dtype=F64))
    again, other = system.draw_system(1, 64, 12), system.draw_system(2, 64, 12)
    assert torch.equal(again.dynamics, found.dynamics)
    assert not torch.allclose(other.dynamics, found.dynamics)


def test_a_trace_rolls_on_without_noise_and_hides_the_costate():
    found, draws = in_float64(3)
    seen = system.trace(found, draws)
    assert seen.hidden_grads == [] and seen.depth == 4
    expected = seen.hiddens[1] @ found.dynamics.mT
    assert_close(seen.advance(seen.hiddens[1], 1), expected)
    assert_close(seen.hiddens[2] - expected, draws.process[1])
    spread = draws.process.std()
    assert float(spread) == pytest.approx(system.PROCESS_NOISE, rel=0.15)
    end = seen.hiddens[-1].flip(0)
    errors = end @ found.readout.mT - draws.targets.flip(0)
    assert_close(seen.output_losses(end, seen.labels.flip(0)), errors.square().sum(-1) / 2)


def test_exact_credit_measures_as_exact():
    (report,) = measure(Bundle([spec_of("oracle", precision="fp64")]))
    for layer in range(4):
        assert report.metrics[f"alignment/h{layer:02d}"] == pytest.approx(1)
        assert report.metrics[f"rho/h{layer:02d}"] > 0.999
        assert report.metrics[f"nudge/h{layer:02d}"] < 0
        assert 0.5 < report.metrics[f"ceiling/h{layer:02d}"] < 1
    assert report.metrics["copy/h03"] == pytest.approx(1)
    assert report.metrics["copy/h00"] < 0.7
    (single,) = measure(Bundle([spec_of("oracle")]))
    assert 0.9999 < single.metrics["agreement/min"] <= 1 == single.metrics["valid/reference"]
    assert {"copy", "ceiling", "alignment_mean", "rho", "nudge"} <= report.layers[0].keys()


def test_the_nudge_is_what_a_step_does_to_the_realised_cost():
    bundle = Bundle([spec_of("fa", precision="fp64")])
    (report,) = measure(bundle)
    draws = bundle.draws(128, "held_out")
    seen = system.trace(bundle.system, draws)
    credits = bundle.group.rule.credit(
        bundle.rule_state(0), seen._replace(grad_out=seen.grad_out[0])
    )
    h = seen.hiddens[1][0] - 0.01 * credits[1] / credits[1].norm(dim=-1, keepdim=True)
    for noise in draws.process[0, 1:]:
        h = h @ bundle.system.dynamics[0].mT + noise
    after = system.costs(h @ bundle.system.readout[0].mT, draws.targets[0])
    before = system.costs(seen.logits[0], draws.targets[0])
    assert report.metrics["nudge/h01"] == pytest.approx(float((after - before).mean()))


@pytest.mark.parametrize(
    ("rule", "least"), [("state_bridge", 0.6), ("credit_bridge", 0.35), ("vector_field", 0.9)]
)
def test_rules_learn_the_costate(rule, least, no_global_generator):
    bundle = Bundle([spec_of(rule)])
    before = measure(bundle)[0].metrics
    *_, (last,) = train(bundle, 0, lambda step, steps: None)
    after = last.metrics
    assert not last.failure and bundle.optimizer_steps == 400
    assert after["alignment/deep"] > before["alignment/deep"] + least
    assert after["rho/deep"] > before["rho/deep"] + least
    assert all(after[f"nudge/h{layer:02d}"] < 0 for layer in range(1, 4))
    assert after["estimator/loss"] > 0


def test_a_run_does_not_depend_on_its_neighbours():
    together = Bundle([spec_of(seed=1), spec_of(seed=2)])
    alone = Bundle([spec_of(seed=2)])
    for bundle in (together, alone):
        for _ in range(3):
            bundle.step(0)
    for name, value in alone.rule_state(0).items():
        assert_close(together.rule_state(1)[name], value, rtol=1e-4, atol=1e-6)


def test_runs_with_other_knobs_or_progress_train_apart():
    specs = [spec_of(seed=1), spec_of(seed=2), spec_of("credit_bridge"), spec_of("dfa")]
    specs.append(spec_of("credit_bridge", tgw=0))
    assert [len(own) for own in bundles.bundles(specs, {})] == [2, 1, 1, 1]
    assert len(bundles.bundles(specs[:2], {specs[0].spec_hash: 1})) == 2


def plan(*specs: RunSpec) -> Sweep:
    return Sweep("toy_lq", "toy LQ", specs, params=system.constants())


def test_finished_runs_are_skipped_and_a_killed_one_goes_on(
    tracking_store, monkeypatch, capsys, tmp_path
):
    dfa, bridge = spec_of("dfa"), spec_of(epochs=3, measure_every=1, train_samples=128)
    store = open_store()
    first = sweep.run(plan(dfa), store, tracked.Trajectories)
    whole = sweep.run(plan(bridge.replace(seed=5)), store, tracked.Trajectories)
    monkeypatch.setattr(tracked_stack, "CHECKPOINT_SECONDS", 0.0)
    real = tracked.train

    def stops(bundle, start, on_step):
        for records in real(bundle, start, on_step):
            yield records
            if bundle.specs[0].rule == "state_bridge" and records[0].epoch == 2:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(tracked, "train", stops)
        with pytest.raises(KeyboardInterrupt):
            sweep.run(plan(dfa, bridge), store, tracked.Trajectories)
    reader = connect()
    killed = reader.runs().set_index("spec_hash")["status"]
    assert killed[bridge.spec_hash] == "KILLED" and killed[dfa.spec_hash] == "FINISHED"
    starts = []

    def seen(bundle, start, on_step):
        starts.append(start)
        return real(bundle, start, on_step)

    monkeypatch.setattr(tracked, "train", seen)
    done = sweep.run(plan(dfa, bridge), store, tracked.Trajectories)
    assert starts == [2] and "1 of 2 runs are already there" in capsys.readouterr().err
    assert done.run_ids[dfa.spec_hash] == first.run_ids[dfa.spec_hash]
    run_id = done.run_ids[bridge.spec_hash]
    history = reader.history([run_id], ["alignment/deep"])
    assert history["step"].tolist() == [1, 2, 3]
    # as if never stopped
    alone = Bundle([bridge])
    values = [records[0].metrics for records in real(alone, 0, lambda step, steps: None)]
    assert history["value"].tolist() == pytest.approx([v["alignment/deep"] for v in values])
    folder = reader.artifact(run_id, "checkpoint")
    files = {"weights.safetensors", "last.safetensors", "spec.json"}
    assert {p.name for p in folder.iterdir()} == files
    stored = pd.read_csv(reader.artifact(run_id, "diagnostics/layers.csv"))
    assert len(stored) == 4 and {"copy", "alignment_g"} <= set(stored)
    assert not list((tmp_path / "state").rglob("*.safetensors"))
    assert len(whole.run_ids) == 1


def test_a_run_that_is_not_finite_fails_and_says_why(tracking_store):
    bad = spec_of(epochs=1, train_samples=128, estimator_lr=1e30)
    good = spec_of("dfa", epochs=1)
    outcome = sweep.run(plan(bad, good), open_store(), tracked.Trajectories)
    assert set(outcome.failures) == {label(bad)}
    assert "non-finite" in outcome.failures[label(bad)]
    statuses = connect().runs().set_index("spec_hash")["status"]
    assert statuses.to_dict() == {bad.spec_hash: "FAILED", good.spec_hash: "FINISHED"}
