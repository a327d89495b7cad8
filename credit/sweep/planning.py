"""Stacks of as many runs as may share one and fit into the device's memory.

Shape legend: R runs, N batch, n held-out samples, d width, C classes, D input units, L depth.
"""

import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import psutil
import torch

from credit import rules
from credit.data import Dataset
from credit.errors import CreditError
from credit.measures.perturbation import CHUNK_ELEMENTS
from credit.networks import kinds
from credit.rules import Shape
from credit.spec import LEARNED_FIELDS, RunSpec
from credit.sweep.machine import group_free
from credit.training.cost import state_sizes
from credit.training.group import TRAINED
from credit.training.measuring import EVALUATION_BATCH
from credit.training.products import PRECISIONS
from credit.training.stack import arrange

MAX_RUNS = 64
"""Most runs in one stack."""
SHARE = 0.8
"""Part of the free memory that a stack may take: other programs, and allocators, need some."""
SLACK = 1.2
"""Of working memory, for temporaries too short-lived to be in the model, and fragments."""
OVERHEAD = 32 * 2**20
"""Bytes that any stack costs: code loaded on first use, buffers of the linear algebra library."""
ShapeOf = Callable[[RunSpec], Shape]


class Footprint(NamedTuple):
    """Bytes that a stack takes, by what they are for. The data set is not part of it."""

    params: int
    moments: int  # two per parameter, of frozen blocks too
    grads: int  # of what trains; they stay until the next step overwrites them
    states: int  # what the rules carry: feedback matrices, estimators
    working: int  # what steps, evaluations and measurements add at their peak


def plan(
    specs: Sequence[RunSpec],
    shape_of: ShapeOf,
    done: Mapping[str, tuple[int, int]],
    free: int,
    began: Mapping[str, str] = {},
    workers: int = 1,
) -> list[list[RunSpec]]:
    """Split runs into stacks: of one shape, at one step, at most MAX_RUNS each, that fit.

    On a CPU, runs on images share a stack with their own seed alone: they share every batch, and
    one seed's results are complete before the next begins. Runs that do not fit together are split,
    in the order of `arrange`, into the fewest parts of equal size (give or take one run); stderr
    says so. No stack that begins is larger than a worker's equal share of all runs, so that the
    45 runs of one shape are four stacks on four GPUs.

    Args:
        done: epochs, and steps of the next, by spec hash; none is from scratch.
        free: bytes of memory free for stacks; SHARE of it is used.
        began: the checkpoints from which runs go on, by spec hash. Those of one stay together, so
            that they go on bit for bit, if all of `free` is enough for them.
        workers: how many stacks train at once.

    Raises:
        CreditError: a single run does not fit.
    """
    check(specs, shape_of, free)
    together: dict[tuple, list[RunSpec]] = {}
    for spec in specs:
        shape = shape_of(spec)
        seed = spec.seed if spec.device == "cpu" and shape.d_in > shape.width else None
        key = (spec.stack_key, done.get(spec.spec_hash), seed, began.get(spec.spec_hash))
        together.setdefault(key, []).append(spec)
    stacks, split = [], 0
    share = min(MAX_RUNS, math.ceil(len(specs) / workers))
    for runs in together.values():
        shape = shape_of(runs[0])
        goes_on = runs[0].spec_hash in began
        least = math.ceil(len(runs) / (MAX_RUNS if goes_on else share))
        parts = _fewest(arrange(runs), shape, free if goes_on else SHARE * free, least)
        stacks += map(arrange, parts)
        split += len(parts) > least
    if split:
        print(
            f"{len(specs)} runs in {len(stacks)} stacks: together they need more than {SHARE:.0%} "
            f"of the {_gb(free)} that are free",
            file=sys.stderr,
        )
    return stacks


def check(specs: Sequence[RunSpec], shape_of: ShapeOf, free: int) -> None:
    """Refuse a run that does not fit into `free` bytes of memory by itself."""
    for spec in specs:
        if (need := memory_needed([spec], shape_of(spec))) <= SHARE * free:
            continue
        sizes = [
            f"{name}={getattr(spec, name)}"
            for name in SIZES
            if not (name in LEARNED_FIELDS and getattr(spec, name) == getattr(RunSpec, name))
        ]
        refuse_above(free, need, f"{spec.name} with {', '.join(sizes)}", spec.device)


SIZES = (
    *("width", "depth", "batch_size", "measure_samples", "directions"),
    *("estimator_width", "estimator_depth", "draws", "field_directions"),
)
"""Fields on which memory depends."""


def refuse_above(free: int, need: int, what: str, device: str) -> None:
    """Refuse `what` if its `need` does not fit into the SHARE of `free` bytes."""
    if need > SHARE * free:
        raise CreditError(
            f"{what} needs {_gb(need)}, {_gb(free)} are free on {device} ({SHARE:.0%} of that is "
            "used): lower one of these, or use another device"
        )


def _fewest(
    runs: Sequence[RunSpec], shape: Shape, limit: float, least: int
) -> list[Sequence[RunSpec]]:
    """The fewest parts, from `least` on, of which each fits into `limit` bytes, or single runs.

    A try ends at the first part that does not fit; the next one begins at its place.
    """
    place = 0.0  # of that part among the others, from 0 to 1
    for count in range(least, len(runs) + 1):
        parts, first = _parts(runs, count), int(place * count)
        for i in (*range(first, count), *range(first)):
            if memory_needed(parts[i], shape) > limit:
                place = i / count
                break
        else:
            return parts
    return _parts(runs, len(runs))


def _parts(runs: Sequence[RunSpec], count: int) -> list[Sequence[RunSpec]]:
    """`count` slices of equal length; the first ones are one longer where it does not divide."""
    size, longer = divmod(len(runs), count)
    edges = [i * size + min(i, longer) for i in range(count + 1)]
    return [runs[a:b] for a, b in itertools.pairwise(edges)]


def _gb(size: int) -> str:
    """Bytes as gigabytes: `12.3 GB`, and three digits of what is smaller than one."""
    return f"{size / 1e9:.1f} GB" if size >= 1e9 else f"{size / 1e9:.3g} GB"


# -------------------------------------------------------------------- what a stack needs


def memory_needed(specs: Sequence[RunSpec], shape: Shape) -> int:
    """Peak bytes of a stack of these runs. See `footprint`."""
    return sum(footprint(specs, shape))


def footprint(specs: Sequence[RunSpec], shape: Shape) -> Footprint:
    """Return what a stack of these runs keeps, and the most that it needs beside that.

    A model, a little above what is measured (`benchmarks/scaling.py` compares the two). `working`
    is the sum, not the larger, of training and measuring: what the first frees, the allocator
    keeps, often in pieces that the second cannot use. In tensors of (R, N, d):

    - a step: L+1 hidden states, 4 L block intermediates, L+1 cotangents, L+1 credits, and L+1 exact
      gradients of the runs that read them; beside these the batch, with several seeds once per run,
      one block's gradients, what rules need to compute their credit, rounded weights in bf16, and
      on a GPU, where the captured step keeps what it uses, a second set of gradients, and where
      those of all blocks are computed at once, twice as much and six (N, d) of each trained block.
      Or one block of an evaluation, N = EVALUATION_BATCH;
    - a measurement, N = measure_samples: L+1 hidden states, exact gradients and credits, the latter
      twice while rules hand them over, what rules need to compute them, and 4 L block
      intermediates. Or, when those are gone, a random control per seed, and one
      layer in float64 and the perturbed states of rho, or one run's pass in float64.
    """
    first, runs = specs[0], len(specs)
    item = _item(first)
    embed, blocks, head = kinds.sizes(first, shape)
    params = runs * (embed + sum(blocks) + head) * item
    trained = sum(sum(blocks[shape.depth - spec.k :]) for spec in specs)
    grads = (runs * (embed + head) + trained) * item
    states = sum(state_numbers(spec, shape) for spec in specs) * item
    step = _step_numbers(specs, shape) * item + states  # averages and gradients of estimators
    step += params // 2 if first.precision == "bf16" else 0
    if first.device != "cpu":
        step += grads
        if first.network == RunSpec.network:  # whose trained blocks are computed at once
            joined = 6 * first.batch_size * shape.width * sum(spec.k for spec in specs)
            step += (2 * trained + joined) * item
    evaluation = EVALUATION_BATCH * runs * (8 * max(shape.units) + 3 * shape.classes) * item
    working = max(step, evaluation) + _measure_bytes(specs, shape)
    return Footprint(params, 2 * params, grads, states, int(SLACK * working) + OVERHEAD)


def _item(spec: RunSpec) -> int:
    """Bytes of one number."""
    return PRECISIONS[spec.precision].states.itemsize


def _step_numbers(specs: Sequence[RunSpec], shape: Shape) -> int:
    samples, runs, units = specs[0].batch_size, len(specs), sum(shape.units)
    inner = units - shape.units[-1]
    seeds = len({spec.seed for spec in specs})
    exact = sum(rules.get(spec.rule).reads_hidden_grads for spec in specs)
    batch = samples * shape.d_in * (1 if seeds == 1 else seeds + runs)
    states = runs * (3 * units + 4 * inner + 4 * shape.units[-1]) + exact * (units + inner)
    largest = max(kinds.sizes(specs[0], shape).blocks)
    block_grads = 3 * sum(spec.k > 0 for spec in specs) * largest // 2
    scratch = samples * sum(rules.of(spec).costs(shape).scratch for spec in specs)
    return batch + states * samples + block_grads + scratch


def _measure_bytes(specs: Sequence[RunSpec], shape: Shape) -> int:
    first, runs, units = specs[0], len(specs), sum(shape.units)
    item, samples = _item(first), first.measure_samples
    one = samples * max(shape.units)
    credits = (9 * units - 5 * shape.units[-1]) * runs * samples * item
    credits += samples * sum(rules.of(spec).costs(shape).scratch for spec in specs) * item
    limit = CHUNK_ELEMENTS["cpu" if first.device == "cpu" else "cuda"]
    chunk = min(max(limit, one), first.directions * one)
    pairs = 2 * 4 * first.directions * samples * runs  # predicted and measured, and a copy
    rolled = 5 * runs * one + 8 * chunk + pairs
    embed, blocks, head = kinds.sizes(first, shape)
    again = embed + sum(blocks) + head + samples * (shape.d_in + 8 * units)
    kept = (3 * runs + len({spec.seed for spec in specs})) * units * samples * item
    return samples * shape.d_in * item + max(credits, kept + 8 * max(rolled, again))


def state_numbers(spec: RunSpec, shape: Shape) -> int:
    """Return how many numbers the run's rule carries, with two more for each that AdamW trains."""
    sizes = state_sizes(spec, shape)
    trained = sum(size for name, size in sizes.items() if name.startswith(TRAINED))
    return 2 * trained + sum(sizes.values())


# -------------------------------------------------------------------- what there is


def memory_free(device: str) -> int:
    """Bytes that a stack could take on `device` now; what this process holds idle counts."""
    if torch.device(device).type == "cuda":
        idle = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + idle
    return min([psutil.virtual_memory().available, *group_free()])


def memory_of_data(data: Dataset, specs: Sequence[RunSpec]) -> int:
    """Bytes of the padded training images, unless they are there, and the normalised test set."""
    item = _item(specs[0])
    size = len(data.test_labels) * data.d_in * item
    if specs[0].augment and "crops" not in vars(data):
        _, channels, height, width = data.train_images.shape
        padded = channels * (height + 2 * data.pad) * (width + 2 * data.pad)
        size += data.n_train * padded * (2 if data.flip else 1)
    return size
