"""What a person sees in the MLflow UI: a real sweep, a real server, a real browser."""

import json
import re
import shutil

import pytest

from benchmarks import screenshots
from credit import report as publish
from credit.tracking import notes, views
from credit.tracking.marks import NOTE
from credit.tracking.reader import connect
from credit.tracking.store import open_store
from tests.commands import python, succeed

pytestmark = pytest.mark.slow

OPTIONS = {"preset": "quick", "dataset": "digits", "rules": "bp,fa,dfa", "ks": "0,2"}
OPTIONS |= {"epochs": "2", "width": "32", "depth": "2"}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory):
    """A store with one published ladder of six runs: the store and the parent's id."""
    folder = tmp_path_factory.mktemp("ui")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{folder / 'mlflow.db'}")
        patch.setenv("CREDIT_STATE", str(folder / "state"))
        for name in ("MLFLOW_RUN_ID", "MLFLOW_EXPERIMENT_ID", "MLFLOW_EXPERIMENT_NAME"):
            patch.delenv(name, raising=False)
        words = [word for name, value in OPTIONS.items() for word in (f"--{name}", value)]
        succeed("ladder", *words)
        store = open_store()
        parent = connect(store.uri).parents("ladder")["run_id"].iloc[0]
        yield store, parent


@pytest.fixture(scope="module")
def window(swept):
    """A browser beside the UI on that store: opens a shot, returns its page and what went wrong."""
    pytest.importorskip("playwright", reason="Playwright is not installed: credit[screenshots]")
    if not any(map(shutil.which, screenshots.CHROMIUMS)):
        pytest.skip("no Chromium is installed: apt-get install chromium")
    store, _ = swept
    with screenshots.served(store.uri) as address, screenshots.browser() as chromium:

        def opened(link: str, expected: str):
            shot = screenshots.Shot(link, expected, 1600, screenshots.settle)
            return screenshots.visit(chromium, address, shot)

        yield opened


def text_of(page) -> str:
    return re.sub(r"\s+", " ", page.locator("body").inner_text())


def test_a_parents_page_has_the_answer_the_figure_and_the_reasons(swept, window):
    store, parent = swept
    page = window(views.run_link(store, parent), "Does training more blocks raise accuracy?")
    text = text_of(page)
    assert "ladder digits d32 L2" in text
    for rule in ("bp", "fa", "dfa"):
        assert rule in text
    assert "runs/finished" in text
    figure = page.locator("img[src*='figure.svg']")
    assert figure.evaluate("image => image.naturalWidth") > 500
    link = page.get_by_role("link", name="Report").get_attribute("href")
    report = window(link, "report.html")
    assert report.locator("iframe").count() == 1


def test_the_experiments_page_says_what_came_out(swept, window):
    store, parent = swept
    page = window(f"#/experiments/{store.experiment_id}/runs?{views.WORKFLOW}", "credit")
    text = text_of(page)
    answer = connect(store.uri).run(parent).data.tags[views.ANSWER]
    assert answer[:60] in text


def test_saved_views_open_with_their_columns_and_charts(swept, window):
    store, parent = swept
    key = views.view_key(parent)
    page = window(views.view_link(store, key), "dfa k2 s42")
    text = text_of(page)
    assert "share key" not in text  # what the UI says of a view that it cannot read
    for column in ("rule", "seed", "accuracy/test", "alignment/deep"):
        assert page.get_by_role("columnheader", name=column).count()
    assert "ladder digits d32 L2" not in page.locator("[role=grid]").first.inner_text()
    charts = text_of(window(views.view_link(store, key, charts=True), "accuracy/test"))
    for section in ("Does it learn?", "Where does its credit point?", "Is the network healthy?"):
        assert section in charts
    overview = text_of(window(views.view_link(store, views.OVERVIEW), "checks/passed"))
    assert "ladder digits d32 L2" in overview and "dfa k2 s42" not in overview


@pytest.mark.parametrize("state", ["{}", "no json", '{"compareRunCharts": 7}'])
def test_a_view_that_the_ui_cannot_read_does_not_break_the_page(swept, window, state):
    store, _ = swept
    store.client.set_experiment_tag(store.experiment_id, f"{views.VIEW}broken", state)
    page = window(views.view_link(store, "broken"), "credit")
    assert "ladder digits d32 L2" in text_of(page)


def test_runs_compare_by_rule(swept, window):
    store, parent = swept
    runs = screenshots.one_per_rule(connect(store.uri).runs(parent=parent))
    assert list(runs) == ["bp", "fa", "dfa"]
    text = text_of(window(views.compare_link(store, list(runs.values())), "Comparing"))
    for rule in runs:
        assert f"{rule} k2 s42" in text


def test_publishing_again_changes_nothing_but_keeps_what_a_person_wrote(swept):
    store, parent = swept
    before = store.client.get_experiment(store.experiment_id).tags
    publish.publish(store, parent)
    assert store.client.get_experiment(store.experiment_id).tags == before
    run = store.client.get_run(parent)
    assert len(run.data.tags[NOTE]) < 5000  # which an export can carry
    assert all(len(value) < 5000 for value in before.values())  # as a PostgreSQL column
    for kept in (parent, None):
        if kept:
            store.client.set_tag(kept, NOTE, "mine")
        else:
            store.client.set_experiment_tag(store.experiment_id, NOTE, "mine")
    publish.publish(store, parent)
    assert store.client.get_run(parent).data.tags[NOTE] == "mine"
    assert store.client.get_experiment(store.experiment_id).tags[NOTE] == "mine"
    # as published: pages for the tests that follow
    for tags in (run.data.tags, before):
        assert tags[notes.NOTE_HASH]
    store.client.set_tag(parent, NOTE, run.data.tags[NOTE])
    store.client.set_experiment_tag(store.experiment_id, NOTE, before[NOTE])


def test_views_of_runs_that_are_gone_are_dropped(swept):
    store, parent = swept
    gone = f"{views.VIEW}{views.view_key('0' * 32)}"
    own = f"{views.VIEW}my-own"
    for tag in (gone, own):
        store.client.set_experiment_tag(store.experiment_id, tag, json.dumps({}))
    publish.publish(store, parent)
    tags = store.client.get_experiment(store.experiment_id).tags
    assert gone not in tags and own in tags
    store.client.delete_experiment_tag(store.experiment_id, own)


def test_screenshots_are_small(swept, window, tmp_path):
    options = ("--folder", str(tmp_path), "--only", "results,parent")
    done = python("-m", "benchmarks.screenshots", *options, MLFLOW_TRACKING_URI=swept[0].uri)
    assert done.returncode == 0, done.stderr
    for name in ("results", "parent"):
        picture = (tmp_path / f"{name}.png").read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) < 300_000
