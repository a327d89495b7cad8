"""Nonlinearity ladder: how do learned credits fare as blocks bend, and as their number grows?

Rules x shares of tanh x depths on a teacher's labels, blocks with phi(z) = (1-alpha) z + alpha
tanh(z), all of them trained. The vector field costs several times what the others do: it runs at
alpha = 1 only.

    python -m entrypoints.nonlinearity_ladder --preset quick   # 18 runs, 30 s of one CPU core
    python -m entrypoints.nonlinearity_ladder                  # 204 runs of 80 epochs: 70 min

Published (d=128, alpha = 1, n=3), Γ at L = 4 and 12: .45 and .24 credit bridge, .34 and .22 state
bridge; .91 vector field at L = 4. The credit bridge leads at every depth, both bridges fall with
it; at alpha = 0 the state bridge leads.
"""

from collections.abc import Sequence
from dataclasses import replace

from credit.errors import CreditError
from credit.experiments._parts import teacher_student as teacher
from credit.experiments._parts.grids import along, helps
from credit.experiments._parts.teacher_student import CREDIT, FIELD, STATE, fitted
from credit.lab import Check, Experiment, Factor, Frame, Options, Panel, Quantity
from credit.lab import quantities as q
from credit.lab.experiment import Checks
from credit.lab.looks import RULES
from credit.lab.measure import each, gap, steps, value
from credit.lab.options import items, listed, product
from credit.spec import RunSpec

LADDER = {"rules": "bp,dfa,state_bridge,credit_bridge,vector_field", "field_alphas": "1"}
PRESETS = {
    "published": {**teacher.TEACHER, **LADDER, "alphas": "0,0.25,0.5,1", "depths": "2,4,8,12"},
    "quick": {**teacher.QUICK_TEACHER, **LADDER, "alphas": "0,1", "depths": "2,4"},
}

NEAR_ZERO, FAR = 0.1, 0.2
"""NEAR_ZERO is twice the audit's bound of a poor direction, FAR its bound of a reasonable one. Both
were fixed before any number was seen."""
STATEMENTS = ((q.GAMMA, q.DIRECTION), (q.RHO, (q.RHO,)))
"""What is said of Γ must hold below h_L, too: there no rule is taught the exact gradient."""


def grid(chosen: Options) -> list[RunSpec]:
    """Return seeds x depths x rules x alphas; the vector field at `field_alphas` only.

    Raises:
        CreditError: the vector field is to run at another alpha.
    """
    alphas, rules = listed(chosen, "alphas", "alpha"), items("rules", chosen["rules"])
    field_alphas = alphas
    if FIELD in rules and chosen["field_alphas"] != "all":
        field_alphas = listed(chosen, "field_alphas", "alpha")
        if strange := [own["alpha"] for own in field_alphas if own not in alphas]:
            raise CreditError(
                f"field_alphas={chosen['field_alphas']} has {strange[0]:g}, which is not in "
                f"alphas={chosen['alphas']}: name some of these, or all, or leave {FIELD} out of "
                "rules"
            )
    points = [
        {"activation": "phi", "rule": rule, **alpha}
        for rule in rules
        for alpha in (field_alphas if rule == FIELD else alphas)
    ]
    return product(chosen, listed(chosen, "depths", "depth"), points)


def checks(frame: Frame) -> Checks:
    """Return the shape that was published, in Γ and in ρ."""
    return [check for name, judged in STATEMENTS for check in _shape(frame, name.symbol, judged)]


def _shape(frame: Frame, name: str, judged: Sequence[Quantity]) -> Checks:
    state, credit, field = ({"rule": rule, "alpha": 1.0} for rule in (STATE, CREDIT, FIELD))
    flat = {"rule": STATE, "alpha": 0.0}, {"rule": CREDIT, "alpha": 0.0}
    ahead = Check(f"leads {name} α=1", CREDIT, gap(credit, state, judged))
    behind = Check(f"leads {name} α=0", STATE, gap(*flat, judged))
    far = Check(f"far above {name}", FIELD, gap(field, (state, credit), judged))
    dfa = each(along(frame, "alpha", {"rule": "dfa"}), lambda cell: value(cell, judged[:1]))
    near = Check(f"near 0 {name}", "dfa", dfa)
    own, other = (
        Check(f"falls {name} α=1", cell["rule"], steps(along(frame, "depth", cell), judged))
        for cell in (state, credit)
    )
    return [
        ahead.above(0, strict=True, doubt=fitted(credit)),
        behind.above(0, strict=True, doubt=fitted(flat[1])),
        own.below(0, mean=True),
        other.below(0, mean=True, doubt=fitted(credit)),
        near.within(NEAR_ZERO, strict=True, mean=True),
        far.above(FAR, strict=True, doubt=fitted(credit)),
    ]


EXPERIMENT = Experiment(
    kind="nonlinearity_ladder",
    title="Nonlinearity ladder",
    question="How does each rule's credit fare as the blocks bend (share of tanh α) and as their "
    "number L grows?",
    factors=(Factor("alpha", sign="α="), Factor("depth", sign="L="), RULES),
    places=("depth",),
    presets=PRESETS,
    grid=grid,
    columns=(
        *(q.GAMMA, q.RHO, q.NUDGE, q.ACCURACY, q.GAMMA_INNER, q.FIT),
        replace(q.HIDDEN, over="mean"),
    ),
    checks=checks,
    figure=tuple(
        Panel(quantity, x="depth", by=("rule",), across="alpha", below=i > 0)
        for i, quantity in enumerate((q.GAMMA, q.RHO, q.ACCURACY))
    ),
    options=helps(
        *("rules", "depths", "seeds"),
        alphas="shares of tanh in the activation, comma-separated",
        field_alphas="alphas at which vector_field, the costliest rule, runs; all is all",
    ),
    fixed=("rule", "k", "seed", "depth", "activation", "alpha"),
    reported=tuple(
        teacher.reported(quantity, "rule", values, {**teacher.SAME, **teacher.PLAIN})
        for quantity, values in ((q.GAMMA, teacher.GAMMA), (q.RHO, teacher.RHO))
    ),
    caveats=(
        teacher.CAVEAT,
        "Accuracy is no evidence of good credit where dfa, whose credit is none, comes near bp.",
    ),
)
