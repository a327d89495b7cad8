"""Training with learned rules: against the plain loop, with neighbours, interrupted, warming up."""

import pytest
import torch

from credit import rules
from credit.randomness import generator
from credit.rules import Shape
from credit.spec import RunSpec
from credit.training import loop
from credit.training.checkpoint import read_header, restore, save_run
from credit.training.stack import Stack, arrange
from tests import reference_learned
from tests.learned import EPOCHS, NAMES, PHI, SHAPE, SIZES, batches, spec
from tests.stacks import assert_same_bits, contents, train

LR = {"lr": 0.01, "estimator_lr": 0.02}  # large steps: mistakes show

PLAIN = [
    spec("state_bridge", **LR),
    spec("state_bridge", **LR, **PHI, alpha=0.5, code="deltaL_hL", estimator_layers=2, k=2),
    spec("state_bridge", **LR, warmup_ratio=0.5, estimator_every=2, clip=0.05),
    spec("credit_bridge", **LR),
    spec("credit_bridge", **LR, **PHI, alpha=1.0, code="eT_hL", estimator_layers=0, tgw=4.0),
    spec("credit_bridge", **LR, code="deltaL", sigma_relative=True, tau=0.5, estimator_every=3),
    spec("credit_bridge", **LR, warmup_ratio=0.25, penalty=0.1, estimator_depth=4, sigma=0.5),
    spec("vector_field", **LR),
    spec("vector_field", **LR, **PHI, alpha=0.0, one_sided=True, estimator_layers=2),
    spec("vector_field", **LR, shuffle=True, terminal_weight=0.0, code="deltaL"),
    spec("vector_field", **LR, warmup_ratio=0.5, estimator_layers=0, estimator_depth=2),
]


@pytest.mark.parametrize("one", PLAIN, ids=lambda one: f"{one.rule} {one.code}")
def test_a_run_equals_the_plain_loop(one):
    """Parameters, estimator, averaged copy and losses: 4 epochs of 3 steps, the last ones short."""
    stack, data = Stack([one], SHAPE), batches()
    start = {name: p[0].clone() for name, p in stack.params.items()}
    state = {name: value.clone() for name, value in stack.rule_state(0).items()}

    def draw(samples: int, step: int) -> dict[str, torch.Tensor]:
        drawn = rules.of(one).noise(SHAPE, samples, generator(one.seed, "estimator", step))
        return {k: v.double() if v.is_floating_point() else v for k, v in drawn.items()}

    for name in state:  # the copy starts at the estimator
        if name.startswith("average/"):
            assert torch.equal(state[name], state[name.replace("average", "estimator")])
    expected = reference_learned.train(start, state, data, one, draw)
    train(stack, data)
    found = contents(stack)
    wanted = {f"param/{name}": value for name, value in expected.params.items()}
    wanted |= {f"state/estimator/{name}": value for name, value in expected.estimator.items()}
    wanted |= {f"state/average/{name}": value for name, value in expected.average.items()}
    assert len(expected.losses) == -(-EPOCHS * len(SIZES) // one.estimator_every)
    for name, value in wanted.items():
        torch.testing.assert_close(
            found[name], value, rtol=1e-6, atol=1e-8, msg=lambda m, n=name: f"{n}: {m}"
        )
    assert found.keys() - wanted.keys() == {
        name for name in found if "moment" in name or name in ("param/alpha", "state/feedback")
    }
    (metrics,) = stack.take_metrics()
    mean = sum(expected.losses) / len(expected.losses)
    assert metrics["loss"] == pytest.approx(mean, rel=1e-6)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("ratio", "epochs", "count"),
    [(0.0, 80, 0), (0.05, 80, 4), (0.05, 4, 0), (0.2, 9, 2), (1, 3, 3)],
)
def test_warm_epochs_are_the_first_of_all(name, ratio, epochs, count):
    rule = rules.of(spec(name, warmup_ratio=ratio))
    assert count == round(ratio * epochs)
    assert [rule.warm(epoch, epochs) for epoch in range(epochs)] == [
        epoch < count for epoch in range(epochs)
    ]


@pytest.mark.parametrize("kind", [{}, PHI], ids=["gelu", "phi"])
@pytest.mark.parametrize("name", NAMES)
def test_a_warm_run_is_the_dfa_run_of_its_seed(name, kind):
    """Bit for bit, in every parameter and moment; its estimator learns meanwhile."""
    warm = Stack([spec(name, warmup_ratio=0.5, **kind)], SHAPE)
    dfa = Stack([spec("dfa", **kind)], SHAPE)
    other = Stack([spec("dfa", seed=7, **kind)], SHAPE)
    matrices = "state/feedback"
    assert torch.equal(contents(warm)[matrices], contents(dfa)[matrices])
    assert not torch.equal(contents(warm)[matrices], contents(other)[matrices])
    before, data = contents(warm), batches()
    for part, same in ((data[:2], True), (data[2:3], False)):
        start = 0 if same else 2
        ours, theirs = (contents(train(stack, part, start)) for stack in (warm, dfa))
        parts = [key for key in theirs if not key.startswith("state/") and "alpha" not in key]
        assert all(torch.equal(ours[key], theirs[key]) for key in parts) == same
        learned = [key for key in ours if key.startswith("state/estimator/")]
        assert learned and not any(torch.equal(ours[key], before[key]) for key in learned)
        before = ours


@pytest.mark.parametrize("name", NAMES)
def test_an_estimator_is_updated_every_so_many_steps_and_says_so(name):
    stack = Stack([spec(name, estimator_every=3)], SHAPE)
    updated, losses = [], []
    for steps in batches(epochs=3):
        for x, y in steps[:2]:  # 2 steps an epoch
            before = contents(stack)
            stack.set_phase(0, 1)
            stack.step(x, y)
            after = contents(stack)
            keys = [k for k in after if k.startswith(("state/estimator", "state/average"))]
            changes = {not torch.equal(after[k], before[k]) for k in keys}
            assert len(changes) == 1
            updated += changes
        losses.append(stack.take_metrics()[0].get("loss"))
    assert updated == [True, False, False, True, False, False]
    assert losses[0] and losses[1] and losses[2] is None  # no update, nothing to report


COMPANY = arrange(
    [
        *(spec(name, seed=seed, **LR, **PHI, alpha=0.5) for name in NAMES for seed in (1, 2)),
        *(spec(name, seed=1, **LR, **PHI, alpha=0.0, k=1) for name in NAMES),
        spec("credit_bridge", seed=1, **LR, **PHI, alpha=0.5, tgw=4.0, code="deltaL_hL"),
        spec("state_bridge", seed=2, **LR, **PHI, alpha=0.5, warmup_ratio=0.5),
        spec("vector_field", seed=1, **LR, **PHI, alpha=0.5, shuffle=True, estimator_every=2),
        spec("vector_field", seed=1, **LR, **PHI, alpha=0.5, field_directions=3),
        spec("credit_bridge", seed=1, **LR, **PHI, alpha=0.5, estimator_width=5, penalty=0.1),
        spec("dfa", seed=2, lr=0.01, **PHI, alpha=1.0),
        spec("bp", seed=1, lr=0.01, credit_reduction="mean", **PHI, alpha=0.25),
    ]
)


def test_a_run_does_not_depend_on_its_neighbours():
    """Other seeds, alphas, rules and knobs: everything a run carries, and what it reports."""
    data = batches(epochs=2)
    together = train(Stack(COMPANY, SHAPE), data)
    reports = together.take_metrics()
    for row, one in enumerate(COMPANY):
        alone = train(Stack([one], SHAPE), data)
        found, wanted = contents(together, row), contents(alone)
        assert found.keys() == wanted.keys()
        for name, value in wanted.items():
            torch.testing.assert_close(
                found[name],
                value,
                rtol=1e-9,
                atol=1e-12,
                msg=lambda m, n=name, s=one: f"{s.name} {n}: {m}",
            )
        assert reports[row] == pytest.approx(alone.take_metrics()[0], rel=1e-9)


def test_equal_knobs_are_computed_as_one():
    stack = Stack(COMPANY, SHAPE)
    groups = [group for lane in stack.lanes for group in lane.groups]
    assert sum(len(group.seeds) for group in groups) == len(COMPANY)
    by_rule = {(one.rule, repr(rules.of(one))) for one in COMPANY if rules.of(one).learned}
    assert len(groups) == len(by_rule) + 2


@pytest.mark.parametrize("name", NAMES)
def test_a_finished_run_can_be_trained_on(tmp_path, name):
    """From its own file, in other company than before."""
    specs = arrange([spec(name, seed=seed, estimator_every=3, **LR) for seed in (1, 2)])
    data = batches()
    stack = train(Stack(specs, SHAPE), data[:2])
    save_run(stack, 1, 2, tmp_path)
    alone = Stack([specs[1]], SHAPE)
    restore(alone, [(read_header(tmp_path / "last.safetensors"), 0)])
    assert_same_bits(contents(alone), contents(stack, 1))
    train(stack, data[2:], 2)
    train(alone, data[2:], 2)
    for key, value in contents(stack, 1).items():
        torch.testing.assert_close(contents(alone)[key], value, rtol=1e-9, atol=1e-12)


def test_the_loop_reports_the_estimators_losses_and_measures_their_credit(digits):
    """Warm epochs too: the report is of the rule's own credit."""
    specs = arrange(
        [
            spec(name, dataset="digits", measure_samples=16, precision="fp32", warmup_ratio=0.5)
            for name in (*NAMES, "dfa")
        ]
    )
    specs = [one.replace(epochs=2, measure_every=1) for one in specs]
    shape = Shape(digits.d_in, SHAPE.width, digits.classes, SHAPE.depth)
    records = list(loop.train(Stack(specs, shape), digits))
    wanted = {
        "dfa": set(),
        "state_bridge": {"loss"},
        "credit_bridge": {"loss", "terminal", "consistency", "gradient"},
        "vector_field": {"loss", "directional", "terminal"},
    }
    for epoch in records:
        alignments = []
        for record in epoch:
            one: RunSpec = specs[record.row]
            reported = {
                key.removeprefix("estimator/")
                for key in record.metrics
                if key.startswith("estimator/")
            }
            assert reported == wanted[one.rule]
            alignments.append(record.metrics["alignment/h01"])
        assert len(set(alignments)) == len(specs)
