"""The published loop as one would first write it: the baseline of every speed figure.

torchvision transforms in two DataLoader workers, one run at a time, nn.Module, autograd, one AdamW
for every part. It imports nothing of `credit`, and prints one JSON object.

    python benchmarks/plain_loop.py --rule dfa --k 4 --threads 1 --steps 200
"""

import argparse
import json
import math
import os
import platform
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from torchvision import datasets, transforms

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
LR, WEIGHT_DECAY, BATCH, CREDIT_EPS = 1e-3, 0.01, 128, 1e-6


class Block(nn.Module):
    """f_l(h) = W2 GELU(W1 LN(h) + b1) + b2."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.ln, self.act = nn.LayerNorm(width), nn.GELU()
        self.fc1, self.fc2 = nn.Linear(width, width), nn.Linear(width, width)
        nn.init.normal_(self.fc2.weight, std=0.01)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, h: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(self.ln(h))))


class ResMLP(nn.Module):
    """h_{l+1} = h_l + f_l(h_l) between a linear embedding and a LayerNorm and linear head."""

    def __init__(self, width: int, depth: int) -> None:
        super().__init__()
        self.embed = nn.Linear(3072, width)
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 10))

    def hiddens(self, x: Tensor) -> list[Tensor]:
        """h_0 .. h_L."""
        states = [self.embed(x)]
        for block in self.blocks:
            states.append(states[-1] + block(states[-1]))
        return states


def normalise(credit: Tensor) -> Tensor:
    """Credit (N, d) to a root mean square of 1 per sample."""
    return credit / (credit.square().mean(-1, keepdim=True).sqrt() + CREDIT_EPS)


class PlainRun:
    """One run: network, feedback, and a separate optimizer for every part."""

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        self.rule, self.lr, self.epochs = args.rule, LR, args.schedule
        self.first = args.depth - args.k  # the first trainable block
        self.model = ResMLP(args.width, args.depth).to(args.device)
        columns = 10 if args.rule == "dfa" else args.width
        shape = (args.depth, args.width, columns)
        self.feedback = torch.randn(shape, device=args.device) * columns**-0.5
        for block in self.model.blocks[: self.first]:
            block.requires_grad_(False)
        parts = [self.model.embed, *self.model.blocks[self.first :], self.model.head]
        self.optimizers = [
            torch.optim.AdamW(part.parameters(), lr=LR, weight_decay=WEIGHT_DECAY) for part in parts
        ]

    def set_epoch(self, epoch: int) -> None:
        """Cosine learning rate of this epoch."""
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.lr * 0.5 * (1 + math.cos(math.pi * epoch / self.epochs))

    def step(self, x: Tensor, y: Tensor) -> Tensor:
        """One batch; returns its loss."""
        for optimizer in self.optimizers:
            optimizer.zero_grad()
        loss = self._bp(x, y) if self.rule == "bp" else self._local(x, y)
        for optimizer in self.optimizers:
            optimizer.step()
        return loss.detach()

    def _bp(self, x: Tensor, y: Tensor) -> Tensor:
        loss = F.cross_entropy(self.model.head(self.model.hiddens(x)[-1]), y)
        loss.backward()
        return loss

    def _local(self, x: Tensor, y: Tensor) -> Tensor:
        model = self.model
        with torch.no_grad():
            states = model.hiddens(x)
        top = states[-1].requires_grad_()
        logits = model.head(top)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        assert top.grad is not None
        *at_blocks, at_embed = self._credit(x, y, logits.detach(), top.grad)
        for index in range(self.first, len(model.blocks)):
            block = model.blocks[index]
            output = block(states[index].detach())
            (output * normalise(at_blocks[index])).sum(-1).mean().backward()
            nn.utils.clip_grad_norm_(block.parameters(), 1.0)
        (model.embed(x) * normalise(at_embed)).sum(-1).mean().backward()
        return loss

    def _credit(self, x: Tensor, y: Tensor, logits: Tensor, top: Tensor) -> list[Tensor]:
        """What each block trains on, and last the embedding, before `normalise`."""
        if self.rule == "dfa":
            error = logits.softmax(-1) - F.one_hot(y, 10)
            credits = [error @ matrix.T for matrix in self.feedback]
            return [*credits, credits[0]]
        if self.rule == "fa":
            credits = [top]
            for matrix in self.feedback.flip(0):
                credits.insert(0, credits[0] @ matrix.T)
        else:  # oracle
            states = self.model.hiddens(x)
            exact = torch.autograd.grad(F.cross_entropy(self.model.head(states[-1]), y), states)
            credits = list(exact)
        return [*credits[1:], credits[0]]


def loaders(root: Path, download: bool) -> tuple[DataLoader, DataLoader]:
    """Augmented training batches and plain test batches of CIFAR-10, from two workers each."""
    plain = [
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
        transforms.Lambda(torch.flatten),
    ]
    crop = [transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip()]
    train = datasets.CIFAR10(root, True, transforms.Compose([*crop, *plain]), download=download)
    test = datasets.CIFAR10(root, False, transforms.Compose(plain), download=download)
    return (
        DataLoader(train, BATCH, shuffle=True, num_workers=2, persistent_workers=True),
        DataLoader(test, 1000, num_workers=2),
    )


def batches(loader: DataLoader, steps: int, device: str) -> Iterator[tuple[Tensor, Tensor]]:
    """One epoch on `device`, cut after `steps` batches unless that is 0."""
    for index, (x, y) in enumerate(loader):
        if steps and index == steps:
            return
        yield x.to(device), y.to(device)


def synchronise(device: str) -> None:
    """Wait for a GPU to finish what it was given."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def measure(args: argparse.Namespace, train: DataLoader, test: DataLoader) -> dict:
    """Train, and return what is printed. Times leave out testing and the first batch's start-up."""
    run = PlainRun(args)
    seconds, losses, done = [], [], 0
    for epoch in range(args.epochs):
        run.set_epoch(epoch)
        total, done, start = torch.zeros((), device=args.device), 0, time.perf_counter()
        for x, y in batches(train, args.steps, args.device):
            total += run.step(x, y)
            done += 1
            if epoch == 0 and done == 1:  # workers started, kernels loaded
                synchronise(args.device)
                start = time.perf_counter()
        synchronise(args.device)
        counted = done - 1 if epoch == 0 else done
        seconds.append((time.perf_counter() - start) / max(counted, 1))
        losses.append(total.item() / done)
    correct = 0
    with torch.no_grad():
        for x, y in batches(test, 0, args.device):
            predicted = run.model.head(run.model.hiddens(x)[-1]).argmax(-1)
            correct += int((predicted == y).sum())
    ordered = sorted(seconds)
    per_step = ordered[len(ordered) // 2]
    return {
        "benchmark": "plain_loop",
        **{name: getattr(args, name) for name in ("rule", "k", "width", "depth", "epochs", "seed")},
        "steps_per_epoch_measured": done,
        "milliseconds_per_step": round(1000 * per_step, 3),
        "seconds_per_epoch": round(per_step * len(train), 3),
        "loss_train": [round(loss, 4) for loss in losses],
        "accuracy_test": correct / 10_000,
        "device": args.device,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "machine": platform.machine(),
        "torch": torch.__version__,
    }


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line; impossible values end the program with one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rule", choices=("bp", "oracle", "fa", "dfa"), default="bp")
    parser.add_argument("--k", type=int, default=4, help="trainable blocks, the last k")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--schedule", type=int, default=0, help="cosine length; 0: the epochs")
    parser.add_argument("--steps", type=int, default=0, help="batches per epoch; 0: all")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads; 0: its default")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args(argv)
    args.schedule = args.schedule or args.epochs
    for name in ("k", "steps", "threads", "seed"):
        if getattr(args, name) < 0:
            parser.error(f"--{name} {getattr(args, name)} is negative: pass 0 or more")
    for name in ("width", "depth", "epochs"):
        if getattr(args, name) < 1:
            parser.error(f"--{name} {getattr(args, name)} is too small: pass at least 1")
    if 0 < args.steps < 10:
        parser.error(f"--steps {args.steps} is too few to time: pass 10 or more, or 0 for all")
    if args.k > args.depth:
        parser.error(f"--k {args.k} exceeds --depth {args.depth}: k counts trainable blocks")
    if args.schedule < args.epochs:
        parser.error(f"--schedule {args.schedule} is shorter than --epochs {args.epochs}")
    return args


def main() -> None:
    """Measure once and print."""
    args = parse()
    if args.threads:
        torch.set_num_threads(args.threads)
    given = os.environ.get("CREDIT_DATA")
    root = Path(given or "data")
    try:
        train, test = loaders(root, download=given is None)
    except (RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        sys.exit(f"no CIFAR-10 in {root} ({reason}): set CREDIT_DATA to the folder that holds it")
    print(json.dumps(measure(args, train, test), indent=2))


if __name__ == "__main__":
    main()
