"""The obvious trainer: one run, nn.Module, autograd, one torch.optim.AdamW per part.

Written from the methods, not from `credit.networks.resmlp` or `credit.training`, which are tested
against it; the two share parameter names and the layout of feedback tensors. Legend: N batch,
d width, L depth, C classes, D input units.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

Batch = tuple[Tensor, Tensor]
"""Inputs (N, D) and labels (N,)."""

LOCAL_RULES = ("oracle", "fa", "dfa")


class Block(nn.Module):
    """f_l(h) = W2 act(W1 LN(h) + b1) + b2, without the skip connection."""

    def __init__(self, width: int, act: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.ln = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, width)
        self.fc2 = nn.Linear(width, width)
        self.act = act

    def forward(self, h: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(self.ln(h))))


class ResMLP(nn.Module):
    """h_0 = embed(x); h_{l+1} = h_l + f_l(h_l); logits = out_head(out_ln(h_L)).

    act is GELU, or with an `alpha` (1 - alpha) z + alpha tanh(z); out_ln may be left out.
    """

    def __init__(
        self,
        d_in: int,
        width: int,
        classes: int,
        depth: int,
        alpha: float | None = None,
        terminal_norm: bool = True,
    ) -> None:
        super().__init__()
        self.alpha = alpha
        act = F.gelu if alpha is None else lambda z: (1 - alpha) * z + alpha * z.tanh()
        self.embed = nn.Linear(d_in, width)
        self.blocks = nn.ModuleList(Block(width, act) for _ in range(depth))
        self.out_ln = nn.LayerNorm(width) if terminal_norm else nn.Identity()
        self.out_head = nn.Linear(width, classes)

    @classmethod
    def from_params(cls, params: dict[str, Tensor]) -> "ResMLP":
        """The network that holds copies of `params` (one run, names as in `state_dict`)."""
        width, d_in = params["embed.weight"].shape
        depth = len({name.split(".")[1] for name in params if name.startswith("blocks.")})
        classes = params["out_head.weight"].shape[0]
        alpha = params["alpha"].item() if "alpha" in params else None
        with torch.random.fork_rng(devices=[]):  # the default initialisation, about to be replaced
            model = cls(d_in, width, classes, depth, alpha, "out_ln.weight" in params)
        model.to(params["embed.weight"].dtype)
        model.load_state_dict({name: p for name, p in params.items() if name != "alpha"})
        return model

    def head(self, h: Tensor) -> Tensor:
        """Logits (N, C) from h_L (N, d)."""
        return self.out_head(self.out_ln(h))

    def hiddens(self, x: Tensor) -> list[Tensor]:
        """h_0 .. h_L, each (N, d)."""
        states = [self.embed(x)]
        for block in self.blocks:
            states.append(states[-1] + block(states[-1]))
        return states

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.hiddens(x)[-1])

    def params(self) -> dict[str, Tensor]:
        """Copies of all parameters, by name."""
        return {name: p.detach().clone() for name, p in self.named_parameters()}


class Recipe(NamedTuple):
    """How one run is trained. Defaults are the published recipe."""

    rule: str = "bp"
    k: int = 4  # trainable blocks: the last k
    lr: float = 1e-3
    weight_decay: float = 0.01
    clip: float = 1.0  # of a block's gradient norm, local rules only
    penalty: float = 0.0
    credit_eps: float = 1e-6
    credit_reduction: str = "published"


class Result(NamedTuple):
    """What training leaves behind."""

    params: dict[str, Tensor]  # those that train
    loss: list[float]  # per epoch, mean over samples, each as seen before its step
    accuracy: list[float]  # per epoch, likewise


def hidden_gradients(model: ResMLP, x: Tensor, y: Tensor) -> list[Tensor]:
    """g_0 .. g_L of the batch-mean cross-entropy, each (N, d), by autograd."""
    states = model.hiddens(x)
    loss = F.cross_entropy(model.head(states[-1]), y)
    return list(torch.autograd.grad(loss, states))


def credits(
    model: ResMLP, x: Tensor, y: Tensor, recipe: Recipe, feedback: Tensor | None
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """What a local rule assigns: a_0 .. a_L, then the credit each block and the embedding train on.

    None of it is normalised. `feedback` is (L, d, C) for dfa, (L, d, d) for fa, unused for oracle.
    """
    depth, batch = len(model.blocks), len(x)
    exact = hidden_gradients(model, x, y)
    if recipe.rule == "dfa":
        assert feedback is not None
        with torch.no_grad():
            error = model(x).softmax(-1) - F.one_hot(y, model.out_head.out_features)
        if recipe.credit_reduction == "mean":
            error = error / batch
        assigned = [error @ feedback[block].T for block in range(depth)]
        return [*assigned, assigned[-1]], assigned, assigned[0]
    scale = batch if recipe.credit_reduction == "sum" else 1
    exact = [g * scale for g in exact]
    if recipe.rule == "oracle":
        assigned = exact
    elif recipe.rule == "fa":
        assert feedback is not None
        assigned = [exact[-1]]
        for block in reversed(range(depth)):
            assigned.insert(0, assigned[0] @ feedback[block].T)
    else:
        raise ValueError(f"no reference for rule {recipe.rule!r}: {', '.join(LOCAL_RULES)}, bp")
    return assigned, assigned[1:], assigned[0]


def normalise(credit: Tensor, eps: float) -> Tensor:
    """norm(v) = v / (rms(v) + eps), rms over each sample's d entries. (N, d) -> (N, d)."""
    rms = credit.square().mean(-1, keepdim=True).sqrt()
    return credit / (rms + eps)


def inner(output: Tensor, credit: Tensor) -> Tensor:
    """mean_n <output_n, credit_n>, the local surrogate loss."""
    return (output * credit).sum(-1).mean()


def branch_penalty(model: ResMLP, states: Sequence[Tensor], recipe: Recipe) -> Tensor:
    """λ·mean_n ‖f_l(h_l)‖², summed over the trainable blocks, every h_l held constant."""
    trainable = list(enumerate(model.blocks))[len(model.blocks) - recipe.k :]
    terms = [block(states[i].detach()).square().sum(-1).mean() for i, block in trainable]
    return recipe.penalty * sum(terms, torch.zeros((), dtype=states[0].dtype))


def accumulate_gradients(
    model: ResMLP, x: Tensor, y: Tensor, recipe: Recipe, feedback: Tensor | None = None
) -> Tensor:
    """Fill `.grad` of every trainable parameter for one step; returns the logits it came from.

    Parameters of frozen blocks keep `.grad` None.
    """
    depth = len(model.blocks)
    for index, block in enumerate(model.blocks):
        block.requires_grad_(index >= depth - recipe.k)
    model.zero_grad(set_to_none=True)
    if recipe.rule == "bp":
        states = model.hiddens(x)
        logits = model.head(states[-1])
        loss = F.cross_entropy(logits, y)
        if recipe.penalty:
            loss = loss + branch_penalty(model, states, recipe)
        loss.backward()
        return logits.detach()

    _, for_block, for_embed = credits(model, x, y, recipe, feedback)
    return local_gradients(model, x, y, recipe, for_block, for_embed)


def local_gradients(
    model: ResMLP,
    x: Tensor,
    y: Tensor,
    recipe: Recipe,
    for_block: Sequence[Tensor],
    for_embed: Tensor,
) -> Tensor:
    """`accumulate_gradients` of a local rule, whose credit is given."""
    depth = len(model.blocks)
    with torch.no_grad():
        states = model.hiddens(x)
    logits = model.head(states[-1])
    F.cross_entropy(logits, y).backward()
    for index in range(depth - recipe.k, depth):
        output = model.blocks[index](states[index])
        loss = inner(output, normalise(for_block[index], recipe.credit_eps))
        loss = loss + recipe.penalty * output.square().sum(-1).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.blocks[index].parameters(), max_norm=recipe.clip)
    inner(model.embed(x), normalise(for_embed, recipe.credit_eps)).backward()
    return logits.detach()


def optimizers(model: ResMLP, recipe: Recipe) -> list[torch.optim.Optimizer]:
    """One AdamW each for the embedding, every trainable block, and the head."""
    parts: list[nn.Module] = [
        model.embed,
        *list(model.blocks)[len(model.blocks) - recipe.k :],
        nn.ModuleList([model.out_ln, model.out_head]),
    ]
    return [
        torch.optim.AdamW(part.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay)
        for part in parts
    ]


def learning_rate(lr: float, epoch: int, epochs: int) -> float:
    """Cosine per epoch: `lr` in epoch 0, falling towards 0 (reached after the last)."""
    return lr * 0.5 * (1 + math.cos(math.pi * epoch / epochs))


def train(
    params: dict[str, Tensor],
    epochs: Sequence[Iterable[Batch]],
    recipe: Recipe,
    feedback: Tensor | None = None,
) -> Result:
    """Train one run from `params` (left as they are) on `epochs`, a list of batches for each.

    `feedback` is the rule's own tensor, as in `credit.rules`: (L, d, C) for dfa, (L, d, d) for fa.
    """
    model = ResMLP.from_params(params)
    steppers = optimizers(model, recipe)
    losses, accuracies = [], []
    for epoch, batches in enumerate(epochs):
        for stepper in steppers:
            for group in stepper.param_groups:
                group["lr"] = learning_rate(recipe.lr, epoch, len(epochs))
        seen, loss, correct = 0, 0.0, 0
        for x, y in batches:
            logits = accumulate_gradients(model, x, y, recipe, feedback)
            for stepper in steppers:
                stepper.step()
            seen += len(x)
            loss += F.cross_entropy(logits, y, reduction="sum").item()
            correct += int((logits.argmax(-1) == y).sum())
        losses.append(loss / seen)
        accuracies.append(correct / seen)
    return Result(model.params(), losses, accuracies)
