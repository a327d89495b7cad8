"""Measurements over micro-batches: what is kept of a sample is numbers, so that memory is bounded.

n samples of a micro-batch; a hidden state with d numbers is measured as (n, d).
"""

import itertools
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from credit.diagnosis.credits import CreditOf
from credit.diagnosis.double import Double
from credit.diagnosis.passes import Passes, Seen, mapped
from credit.errors import CreditError
from credit.measures import alignment, nudging, perturbation, validity, vectors
from credit.measures.base import CONTROLS, Options, Report, layer_name, number
from credit.randomness import generator


class Measuring:
    """A diagnosis in the making: numbers of samples, by layer and name."""

    def __init__(
        self, passes: Passes, credit_of: CreditOf | None, options: Options, seed: int
    ) -> None:
        count = range(len(passes.layers))
        self.passes, self.credit_of, self.options = passes, credit_of, options
        self.double = Double(passes)
        self.found: list[dict[str, list[Tensor]]] = [defaultdict(list) for _ in count]
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[torch.dtype] = []
        self.noise = [generator(seed, "control", layer) for layer in count]
        self.directions = [generator(seed, "directions", layer) for layer in count]

    def take(self, x: Any, y: Any, where: slice, perturb: bool) -> None:
        """Measure one micro-batch, which stands at `where` among all samples.

        `perturb` says whether ρ and nudge are measured, too. Raises CreditError where a layer has
        no part in the loss, or the credit is not what it must be.
        """
        seen = self.passes.see(x, y)
        grads: list[Tensor] = []
        found = seen.grads(self.credit_of is not None)
        for (name, _), g in zip(self.passes.layers, found, strict=True):
            if g is None:
                raise CreditError(
                    f"the loss does not depend on layer {name}, as far as autograd knows: "
                    "name a layer whose output is used, and not detached"
                )
            grads.append(g)
        credits = self.credit_of(seen, grads, where) if self.credit_of else None
        self.shapes = [tuple(h.shape[1:]) for h in seen.hiddens]
        self.dtypes = [h.dtype for h in seen.hiddens]
        seen.hiddens = [h.detach() for h in seen.hiddens]
        seen.output, seen.losses = seen.output.detach(), seen.losses.detach()  # lets the graph go
        agrees = self.double.cosines(x, y, grads)
        with torch.no_grad():
            last = _flat(grads[-1])
            for layer, (h, g) in enumerate(zip(seen.hiddens, grads, strict=True)):
                draw = torch.randn(h.shape, generator=self.noise[layer])
                compared = {"g": _flat(g), "random": _flat(draw.to(g))}
                if credits is not None:
                    compared["credit"] = _flat(credits[layer])
                same = grads[-1].shape == g.shape
                self._add(layer, _directions(_flat(h), compared, last if same else None))
                if agrees is not None:
                    self._add(layer, {"agreement": agrees[layer]})
                if perturb:
                    self._add(layer, self._perturbed(seen, layer, compared))

    def report(self) -> Report:
        """Return rows and metrics of all samples together."""
        last = len(self.found) - 1
        report = Report(layers=[self._row(layer) for layer in range(last + 1)])
        growth = [row["growth"] for row in report.layers[:-1]]
        for layer, row in enumerate(report.layers):
            for name in ("hidden_norm", "grad_norm", "credit_norm", "sensitivity"):
                report.add(f"{name}/{layer_name(layer)}", row[name])
            if row["nudge_status"] == validity.OK:
                report.add(f"nudge/{layer_name(layer)}", row["nudge"])
        if growth and None not in growth:
            report.add("growth/max", max(growth))
        alignment.add_metrics(report)
        rhos = [r["rho"] if r["rho_status"] == validity.OK else None for r in report.layers]
        report.add_layers("rho", rhos)
        return report

    def _add(self, layer: int, numbers: Mapping[str, Tensor]) -> None:
        for name, values in numbers.items():
            self.found[layer][name].append(values.cpu())

    def _perturbed(self, seen: Seen, layer: int, compared: Mapping[str, Tensor]) -> dict:
        """Return what is measured by running the model from changed hidden states."""
        hidden = seen.hiddens[layer]
        h = hidden.flatten(1)

        def losses(moved: Tensor) -> Tensor:
            return self.passes.losses_from(seen, layer, moved.view_as(hidden))

        before, numbers = losses(h), {}
        for name, a in (*compared.items(), ("neg_g", -compared["g"])):
            moved, kept = nudging.step(h, a, self.options)
            still = kept.isnan()  # it has no direction to move in
            change = losses(torch.where(still.unsqueeze(-1), h, moved)) - before
            numbers[f"nudge_{name}"] = torch.where(still, torch.nan, change)
            if name in ("credit", "g"):
                numbers[f"kept_{name}"] = kept
        who = [compared[name] for name in ("credit", "g", "random") if name in compared]
        units, sizes = [vectors.unit(a) for a in who], [vectors.norm(a) for a in who]
        length, pairs = perturbation.step_length(h, self.options), []
        for _ in range(self.options.directions):
            v = _flat(torch.randn(hidden.shape, generator=self.directions[layer]).to(h))
            moved = h + length * torch.nn.functional.normalize(v, dim=-1).to(h)
            shift = _wide(moved) - _wide(h)  # the step that really took place
            predicted = [
                ((shift * u).sum(-1).double() * size).nan_to_num()  # no credit predicts no change
                for u, size in zip(units, sizes, strict=True)
            ]
            pairs.append(torch.stack([*predicted, losses(moved) - before], dim=-1))
        return numbers | {"pairs": torch.cat(pairs)}

    def _row(self, layer: int) -> dict[str, Any]:
        """Return one layer's numbers, as the layer table of a run has them."""
        own = {name: torch.cat(parts) for name, parts in self.found[layer].items()}
        dtype = torch.promote_types(self.dtypes[layer], torch.float32)
        floor = validity.sample_floor(self.options.reference_floor, dtype)
        norms = {
            name: number(vectors.median(own[name])) if name in own else None
            for name in ("hidden_norm", "grad_norm", "credit_norm", "sensitivity")
        }
        growth = None
        if layer + 1 < len(self.found):
            after = torch.cat(self.found[layer + 1]["hidden_norm"])
            growth = number(vectors.median(after / own["hidden_norm"]))
        audited, agrees = "credit" in own, None
        finite = bool(own["grad_norm"].isfinite().all())
        credit = 1.0 if norms["credit_norm"] is None else norms["credit_norm"]
        if self.double.missing:
            status = validity.direction_status(finite, 1.0, credit)
            if finite and not (norms["grad_norm"] or 0.0) > floor:
                status = validity.REFERENCE_AT_FLOOR
        else:
            agrees = number(vectors.median(own["agreement"]))
            status = validity.direction_status(finite, agrees, credit)
        row = {
            "layer": layer,
            "name": self.passes.layers[layer][0],
            "shape": "×".join(map(str, self.shapes[layer])),
            "status": status,
            "agreement": agrees,
            "reference_floor": floor,
            **norms,
            "growth": growth,
        }
        none = alignment.summary(torch.full((1,), torch.nan))
        row |= alignment.summary(own["credit"]) if audited else dict.fromkeys(none)
        row["copy"] = alignment.cosine_number(own["copy"].nanmean()) if "copy" in own else None
        for name in CONTROLS:
            cosines = own["random"] if name == "random" else own["g"]
            value = alignment.cosine_number(cosines.nanmean())
            row[f"alignment_{name}"] = -value if name == "neg_g" and value is not None else value
        row["alignment_random_std"] = alignment.deviation(own["random"])
        return row | _perturbed_columns(own, dtype, audited)


def batches(n: int, size: int, perturbed: int) -> Iterator[tuple[slice, bool]]:
    """Yield micro-batches of n samples; the first `perturbed` are apart from the others."""
    for start, end in itertools.pairwise(sorted({0, min(perturbed, n), n})):
        for first in range(start, end, size):
            yield slice(first, min(first + size, end)), end <= perturbed


def part(value: Any, where: slice, device: torch.device | None) -> Any:
    """Return some samples of an input or target, on the model's device."""
    value = dict(value) if isinstance(value, Mapping) else value
    return mapped(value, lambda tensor: tensor[where].to(device, copy=True))


def _perturbed_columns(own: Mapping[str, Tensor], dtype: torch.dtype, audited: bool) -> dict:
    """Return the columns of nudge and ρ."""
    who = "credit" if audited else "g"
    changes = {name: number(own[f"nudge_{name}"].nanmean()) for name in (*CONTROLS, who)}
    norms = own["credit_norm" if audited else "grad_norm"]
    status = nudging.step_status(changes[who], norms, own[f"kept_{who}"])
    pairs = own["pairs"].T  # the credit's, the gradient's, noise's, and what was measured
    found = perturbation.correlations(pairs if audited else torch.cat([pairs[:1], pairs]), dtype)
    found |= {"nudge_status": status, "nudge": changes[who]}
    found |= {f"nudge_{name}": changes[name] for name in CONTROLS}
    return found if audited else found | {"rho": None, "nudge": None}


def _directions(h: Tensor, compared: Mapping[str, Tensor], last: Tensor | None) -> dict:
    """Return each sample's norms, and its cosines with the exact gradient."""
    unit = vectors.unit(compared["g"])
    found = {"hidden_norm": vectors.norm(h), "grad_norm": vectors.norm(compared["g"])}
    found["sensitivity"] = found["hidden_norm"] * found["grad_norm"]
    if "credit" in compared:
        found["credit_norm"] = vectors.norm(compared["credit"])
    for name, a in (*compared.items(), *([("copy", last)] if last is not None else [])):
        found[name] = (vectors.unit(a) * unit).sum(-1).clamp(-1, 1).double()
    return found


def _wide(v: Tensor) -> Tensor:
    """Return a tensor in float32 at least."""
    return v.to(torch.promote_types(v.dtype, torch.float32))


def _flat(v: Tensor) -> Tensor:
    """Return (n, ...) as (n, d), in float32 at least."""
    return _wide(v.detach().flatten(1))
