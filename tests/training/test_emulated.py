"""A recorded step, replayed, gives the numbers of the step: on an emulated GPU, for every rule."""

import pytest
import torch
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from torch.utils._pytree import tree_map

from credit import rules
from credit.training import capturing, group, lane, optimizer, steppers
from credit.training.lane import Lane
from credit.training.stack import Stack
from tests.stacks import assert_same_stacks
from tests.training.emulated import Gpu, Refused, Stream
from tests.training.lanes import LEARNED, MORE, RULES, SHAPE, batches, specs_of

EVERY = tuple(dict.fromkeys((*RULES, *LEARNED, *MORE)))
RATE = 2.0**-10
"""A number that float32 holds as it is: on a GPU the rate is one."""
FROZEN = {"k": 0, "embed_trains": False, "head_trains": False}


def made(names, seeds=(1,), warmup=True, **changes) -> list:
    """Runs that train all blocks and none; rules that learn do so in every second step."""
    base = {"lr": RATE, "epochs": 4, "estimator_layers": 2, **changes}
    chosen = [s for s in specs_of(seeds, names, **base) if s.k in (0, SHAPE.depth)]
    learns = [s for s in chosen if rules.get(s.rule).learned]
    return [s.replace(warmup_ratio=0.25 * warmup) if s in learns else s for s in chosen]


def advance(stack: Stack, data: list) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Two epochs, of which the first is warm-up; losses and hits of every step."""
    found = []
    for epoch in range(2):
        stack.set_lr(RATE / (epoch + 1))
        for x, y in data:
            stack.set_phase(epoch, 4)
            found.append(tuple(value.clone() for value in stack.step(x, y)))
    return found


def compare(specs, monkeypatch, data=None) -> Gpu:
    """Step two stacks, one of them on the emulated GPU: every number must be the same."""
    seeds = len({spec.seed for spec in specs})
    learned = any(rules.get(spec.rule).learned for spec in specs)  # in two steps out of four
    data = data or list(batches(seeds=seeds * (seeds > 1)))[0 if learned else 3 :]
    monkeypatch.setattr(lane, "recorded", lambda device: True)  # both take all blocks at once
    plain = Stack(specs, SHAPE)
    expected = advance(plain, data)
    gpu = Gpu()
    with monkeypatch.context() as patch:
        gpu.installed(patch)
        with gpu:
            stack = Stack(specs, SHAPE)
            found = advance(stack, data)
    for step, pairs in enumerate(zip(found, expected, strict=True)):
        assert all(torch.equal(*both) for both in zip(*pairs, strict=True)), f"step {step}"
    assert_same_stacks(stack, plain)
    assert stack.take_metrics() == plain.take_metrics()
    return gpu


@pytest.mark.parametrize("seeds", [(1,), (1, 2)], ids=["one seed", "two seeds"])
@pytest.mark.parametrize("rule", EVERY)
def test_replayed_steps_are_the_steps_bit_for_bit(rule, seeds, monkeypatch):
    monkeypatch.setattr(steppers, "WARM_UP", 1)
    gpu = compare(made([rule], seeds), monkeypatch)
    learned, warms = rules.get(rule).learned, rules.of(made([rule])[0]).warm(0, 4)
    phases = (1 + learned) * (1 + warms)  # learning or not, in and after the warm-up
    assert len(gpu.graphs) == phases
    assert sum(graph.replays for graph in gpu.graphs) == (12 if learned else 6) - phases


def test_rules_beside_each_other_frozen_runs_and_a_short_batch_first(monkeypatch):
    """A resume may begin with the last batch of an epoch: what is recorded of it is dropped."""
    monkeypatch.setattr(steppers, "WARM_UP", 1)
    whole = list(batches(seeds=2))
    short = [(x[:, :3], y[:, :3]) for x, y in whole[:3]]
    gpu = compare(
        made(["bp", "weight_mirror", "credit_bridge"], (1, 2)), monkeypatch, short + whole
    )
    assert len(gpu.graphs) > 4 and gpu.graphs[0].replays == 1
    frozen = [spec.replace(**FROZEN) for spec in made(["credit_bridge"]) if not spec.k]
    assert len(compare(frozen, monkeypatch).graphs) == 4


# ---------------------------------------------------------------- what would be wrong, is seen


def forgets(field):
    """A replay that leaves one of its buffers as it is."""

    def change(patch):
        original = steppers._Recording.replay

        def replay(self, x, y, noise):
            spare = tree_map(torch.zeros_like, getattr(self, field))
            return original(self._replace(**{field: spare}), x, y, noise)

        patch.setattr(steppers._Recording, "replay", replay)

    return change


def one_graph(patch):
    """The graph of the warm-up serves what follows, too."""
    original = Lane.set_phase

    def set_phase(self, *when):
        original(self, *when)
        self.phase = tuple(each.learns for each in self.groups)

    patch.setattr(Lane, "set_phase", set_phase)


def rebound(patch):
    """The state that follows the weights is another tensor after every step."""

    def follow(self, trace, weights, decay):
        self.state |= self.lifted(self.rule.followed, trace, weights, decay)

    patch.setattr(group.Group, "follow", follow)


def uncapturable(patch):
    def adamw(*args, **kwargs):
        made = optimizer.adamw(*args, **kwargs)
        made.param_groups[0]["capturable"] = False
        return made

    patch.setattr(lane, "adamw", adamw)


def fixed_rate(patch):
    patch.setattr(lane, "adamw", lambda *args, lr_changes: optimizer.adamw(*args))


def unwaiting(name):
    """A stream that waits for no other: that of the recording, or that of the caller."""

    def change(patch):
        def wait_stream(self, other):
            if (self is current_gpu().default) == (name == "caller"):
                return
            self.wait(other)

        patch.setattr(Stream, "wait_stream", wait_stream)

    def current_gpu():
        return next(m for m in _get_current_dispatch_mode_stack() if isinstance(m, Gpu))

    return change


MUTANTS = {
    "x forgotten": ("dfa", forgets("x")),
    "y forgotten": ("dfa", forgets("y")),
    "noise forgotten": ("node_perturbation", forgets("noise")),
    "one graph for all phases": ("credit_bridge", one_graph),
    "state rebound": ("kolen_pollack", rebound),
    "not capturable": ("dfa", uncapturable),
    "rate a number": ("dfa", fixed_rate),
    "no warm-up": ("dfa", lambda patch: patch.setattr(steppers, "WARM_UP", 0)),
    "recording does not wait": ("dfa", unwaiting("recording")),
    "caller does not wait": ("dfa", unwaiting("caller")),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_the_emulator_sees_that(mutant, monkeypatch):
    rule, change = MUTANTS[mutant]
    monkeypatch.setattr(steppers, "WARM_UP", 1)
    change(monkeypatch)
    with pytest.raises((AssertionError, RuntimeError)):
        compare(made([rule]), monkeypatch)


OUTSIDE = ["Solving", "Reading", "Masking"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_rule_that_no_graph_can_record_runs_as_it_is_with_one_line(name, monkeypatch, capfd):
    capturing.warn.cache_clear()
    specs = [s.replace(rule=f"tests.exploding:{name}") for s in made(["dfa"])]
    assert compare(specs, monkeypatch).graphs == []
    (line,) = capfd.readouterr().err.splitlines()
    assert "exploding.py, line" in line


@pytest.mark.parametrize("name", OUTSIDE)
def test_the_emulator_refuses_to_record_such_a_rule(name, monkeypatch):
    monkeypatch.setattr(capturing.Watch, "found", property(lambda self: "", lambda self, _: None))
    specs = [s.replace(rule=f"tests.exploding:{name}") for s in made(["dfa"])]
    with pytest.raises(Refused):
        compare(specs, monkeypatch)
