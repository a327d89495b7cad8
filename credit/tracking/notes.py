"""Descriptions in the MLflow UI: of the experiment and of its parent runs, with what came out.

The UI shows `mlflow.note.content` as Markdown. A description that a person has edited stays.
"""

import hashlib
import time
from collections.abc import Iterable, Mapping, Sequence

from mlflow.entities import Metric, Run, RunTag

from credit.tracking.artifacts import harmless, visible
from credit.tracking.marks import CONTINUED_BY, KIND, NOTE, member_tag, search
from credit.tracking.store import Store
from credit.tracking.views import ANSWER, OVERVIEW, run_link, view_link

NOTE_HASH = "mlflow.note.credit"
"""Of the description that was written here: one that was edited since is left alone. The UI shows
no tag that begins with `mlflow`."""
COLOR, EXPERIMENT_KIND = "mlflow.runColor", "mlflow.experimentKind"
FINISHED = "runs/finished"
_HEAD = ("| experiment | what came out |", "| --- | --- |")
_LONGEST = 4950  # an experiment's tag has room for 5000 characters
_LONGEST_NAME = 80

_EXPERIMENT = "\n\n".join(
    (
        "Does a learning rule that claims to train deep networks without backprop do it? "
        "Answers inside.",
        "Each line is an experiment that asks one question of several credit rules. *bp* is "
        "backprop; *oracle* is perfect credit through the same local recipe that the other rules "
        "use.",
        "{rows}",
        "[All results]({overview}) as a table. The page of an experiment has the answer, the "
        "figure, the reasons and the numbers; its artifacts have the whole report.",
        "**How to read it.** *accuracy/test* is a fraction of the test set. *alignment/deep* (Γ) "
        "is the cosine of a rule's credit and the exact gradient: 1 for backprop, 0 for noise. "
        "*rho/deep* (ρ) says how well the credit predicts the loss. *growth/max* above 50: the "
        "network's scale runs away. *valid/reference* is 0 where float64 finds another gradient "
        "(of older runs: where it is small). *k* is the number of trained blocks, counted from the "
        "last: the run `dfa k4 s42` is rule dfa, k = 4, seed 42. Runs are nested under their "
        "experiment, whose page links their table and their curves.",
    )
)
"""The first line is also the description in the list of experiments, where it is plain text."""


def set_page(
    store: Store, run_id: str, note: str, answer: str, metrics: Mapping[str, float]
) -> None:
    """Describe a parent run, unless a person has, and log what its row in the table shows."""
    run = store.client.get_run(run_id)
    tags = [RunTag(*tag) for tag in {ANSWER: answer, **note_tags(run.data.tags, note)}.items()]
    now, known = int(time.time() * 1000), run.data.metrics
    changed = [Metric(n, value, now, 0) for n, value in metrics.items() if known.get(n) != value]
    store.client.log_batch(run_id, metrics=changed, tags=tags)


def set_colors(store: Store, parent_id: str, colors: Mapping[str, str]) -> None:
    """Give a parent's child runs the colours of their rules; a colour that is there stays."""
    for run in search(store.client, [store.experiment_id], member_tag(parent_id)):
        color = colors.get(run.data.params.get("rule", ""))
        if color and COLOR not in run.data.tags:
            store.client.set_tag(run.info.run_id, COLOR, color)


def describe_experiment(store: Store, answers: Mapping[str, tuple[str, int, str]]) -> None:
    """Say on the experiment's page what came out, as far as there is room, and how it is read."""
    overview = view_link(store, OVERVIEW)
    rows = [
        f"| [{plain(name[:_LONGEST_NAME])}]({run_link(store, run_id)}), {runs} runs "
        f"| {_cell(line)} |"
        for run_id, (name, runs, line) in answers.items()
    ]
    room = _LONGEST - len(_EXPERIMENT.format(overview=overview, rows=""))
    told = shortened(_HEAD, rows, room, f"and {{}} more in [all results]({overview})")
    note = _EXPERIMENT.format(overview=overview, rows=told)
    tags = store.client.get_experiment(store.experiment_id).tags
    new = {} if NOTE in tags and NOTE_HASH not in tags else note_tags(tags, note)
    if EXPERIMENT_KIND not in tags:
        new[EXPERIMENT_KIND] = "custom_model_development"
    for key, value in new.items():
        store.client.set_experiment_tag(store.experiment_id, key, value)


def shortened(head: Sequence[str], rows: Sequence[str], room: int, more: str) -> str:
    """Return as many rows below a head as there is room for, and how many `more` there are."""
    for left in range(len(rows) + 1):
        tail = [f"\n{more.format(left)}"] if left else []
        text = "\n".join([*head, *rows[: len(rows) - left], *tail])
        if len(text) <= room:
            break
    return text


def with_answer(store: Store) -> list[Run]:
    """The parents that have an answer and are not deleted, newest first."""
    return list(search(store.client, [store.experiment_id], {}, f"tags.`{ANSWER}` LIKE '%'"))


def answered(parents: Iterable[Run], order: Sequence[str]) -> dict[str, tuple[str, int, str]]:
    """Name, number of finished runs and answer of the parents, of `with_answer`, that have any.

    By kind in the given order, of a kind the newest first; none that another parent continued.
    """
    places = {kind: place for place, kind in enumerate(order)}
    found = {}
    for run in sorted(parents, key=lambda r: places.get(r.data.tags.get(KIND, ""), len(places))):
        tags, finished = run.data.tags, run.data.metrics.get(FINISHED)
        if finished and CONTINUED_BY not in tags:
            found[run.info.run_id] = (run.info.run_name or "", int(finished), tags[ANSWER])
    return found


def plain(text: str) -> str:
    """`text` as the text of a link in a table: nothing in it is Markdown or HTML."""
    return "".join(c if c.isalnum() or c in " -,." else f"&#{ord(c)};" for c in visible(text))


def _cell(line: str) -> str:
    """An answer in a table, without the details of its reduction; no claim is cut."""
    line = harmless(" ".join(line.split()))
    start = line.rfind(" (n = ")
    if start >= 0 and ":" in line[start:]:
        line = f"{line[:start]}{line[start:].partition(':')[0]})"
    return line.translate({ord(c): f"&#{ord(c)};" for c in "\\|]"})


def note_tags(tags: Mapping[str, str], note: str) -> dict[str, str]:
    """The tags that set a description; none where a person has edited the one that is there."""
    if NOTE_HASH in tags and tags[NOTE_HASH] != _hash(tags.get(NOTE, "")):
        return {}
    return {NOTE: note, NOTE_HASH: _hash(note)}


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
