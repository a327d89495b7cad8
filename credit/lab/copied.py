"""Has a rule found more of the gradient than the skip path gives away?

Every local rule has g_L, the gradient at the output. Passed back unchanged it is the credit of a
network without blocks; where the blocks turn little it has a high Γ with nothing learned. It is
measured on the same samples in the same network as the rule (metrics `copy/...`). The mean over
1 ≤ l < L is judged: at h_L the copy is the gradient itself.

The check was added after first numbers had been seen; its margin was not chosen for it, but is the
bound below which the protocol speaks of no direction. Where the copy is above .95 no rule can show
this margin, and Γ decides nothing.
"""

from collections.abc import Sequence

from credit.lab.check import Check
from credit.lab.frame import Frame, Place, Undecided
from credit.lab.measure import Found, Name, Sample, at_places, gap
from credit.lab.protocol import POOR
from credit.lab.quantity import COPY_INNER, GAMMA_INNER

MARGIN = POOR


def beyond_copy(cell: Name, rule: str, who: str = "", cells: Sequence[Name] = ()) -> Check:
    """Return the check that Γ below h_L is MARGIN above that of g_L passed back, on every seed.

    Args:
        who: the arm's name in the check; by default that of the cell.
        cells: one of these is enough; by default `cell` at every place.
    """
    many = tuple(cells)
    return Check(
        f"{who or cell} > copy",
        rule,
        lambda frame: _margins(frame, many or (cell,)),
        anywhere=bool(many),
        late=True,
    ).above(MARGIN)


def _margins(frame: Frame, cells: Sequence[Name]) -> Found:
    found: dict[str, Sequence[Sample] | Undecided] = {}
    for cell in cells:
        own = gap(cell, None, (GAMMA_INNER,), less=COPY_INNER)(frame)
        room = at_places(frame, [cell], lambda place, c=cell: _room(frame, c, place))
        for place, samples in own.items():
            why = room.get(place)
            name = " ".join(filter(None, (frame.name(cell) if len(cells) > 1 else "", place)))
            if isinstance(why, Undecided) and len(cells) > 1:
                continue  # a cell that leaves no room can be none that is above
            found[name] = why if isinstance(why, Undecided) else samples
    if not found:
        raise Undecided(f"the copy leaves no room for {GAMMA_INNER.text(MARGIN, '+')} anywhere")
    return found


def _room(frame: Frame, cell: Name, place: Place) -> None:
    most = max(frame.sample(cell, COPY_INNER, place).values())
    if most > 1 - MARGIN:
        shown = f"Γ of g_L passed back is {COPY_INNER.text(most)}"
        raise Undecided(f"{shown}: it leaves no room for {GAMMA_INNER.text(MARGIN, '+')}")
