"""Screenshots of the MLflow UI on a store with results, as docs/ui/*.png.

    pip install 'credit[screenshots]' && playwright install chromium   # or a Chromium of the system
    make screenshots                                                   # of the tracking store
    python -m benchmarks.screenshots --folder /tmp/shots --only parent,charts

The UI is started on MLFLOW_TRACKING_URI, unless that is a server already, and stopped at the end.
Experiments that were published before there were pages in the UI get theirs by `make report`.
"""

import argparse
import contextlib
import io
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from credit.errors import CreditError
from credit.report.ui import one_per_rule
from credit.spec import check_names
from credit.tracking import views
from credit.tracking.reader import connect
from credit.tracking.store import Store, is_http, open_store, reach

if TYPE_CHECKING:
    from playwright.sync_api import Page  # pyright: ignore[reportMissingImports]

FOLDER = Path(__file__).parent.parent / "docs" / "ui"
WIDTH = 1400
COLOURS = 192
PATIENCE_S = 120
CHROMIUMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
_NO_ASSISTANT = """
localStorage.setItem("mlflow.assistant.panelOpen_v1", "false");
localStorage.setItem("mlflow.assistant.fab.autoOpenedOnFirstLoad_v1", "true");
"""


class Shot(NamedTuple):
    """One picture: its page, a text that is on it once it is there, and what is done first."""

    link: str
    expected: str
    height: int = 900
    act: Callable[["Page"], None] | None = None


def shots(store: Store) -> dict[str, Shot]:
    """The pictures of the README, on the newest ladder that has a page."""
    reader = connect(store.uri)
    parents = reader.parents("ladder")
    described = [
        run_id for run_id in parents["run_id"] if views.ANSWER in reader.run(run_id).data.tags
    ]
    if not described:
        raise CreditError("the store has no published ladder: run make ladder, or make report")
    parent = described[0]
    key = views.view_key(parent)
    children = reader.runs(parent=parent)
    runs, seed = one_per_rule(children), children["seed"].iloc[0]
    compared = [runs[rule] for rule in ("bp", "fa", "dfa") if rule in runs]
    page = f"#/experiments/{store.experiment_id}/runs?{views.WORKFLOW}"
    return {
        "experiments": Shot(f"#/experiments?{views.WORKFLOW}", "Does a learning rule", 420),
        "experiment": Shot(page, "Does a learning rule", 1000, unfold),
        "results": Shot(views.view_link(store, views.OVERVIEW), "checks/passed", 620, settle),
        "runs": Shot(views.view_link(store, key), f" s{seed}", 760, settle),
        "charts": Shot(views.view_link(store, key, charts=True), "accuracy/test", 1100, drawn),
        "parent": Shot(views.run_link(store, parent), "Does training more blocks", 1300, show_more),
        "report": Shot(views.run_link(store, parent, "report.html"), "report.html", 900, unplaced),
        "compare": Shot(views.compare_link(store, compared), "Comparing", 900, settle),
    }


def settle(page: "Page") -> None:
    """Give what announces nothing the time to be drawn."""
    page.wait_for_timeout(4000)


def unplaced(page: "Page") -> None:
    """Hide where the file lies on this machine."""
    settle(page)
    path = page.get_by_text("Path:").first
    path.evaluate("element => { element.style.visibility = 'hidden' }")


def drawn(page: "Page") -> None:
    """Wait for the first charts."""
    page.locator(".js-plotly-plot .trace").nth(2).wait_for(state="attached")
    settle(page)


def unfold(page: "Page") -> None:
    """Open the experiment's description."""
    text = page.get_by_text("Does a learning rule").first
    text.locator("xpath=ancestor::*[.//button][1]//button").last.click()
    settle(page)


def show_more(page: "Page") -> None:
    """Open a run's description."""
    page.get_by_text("Show more").first.click()
    settle(page)


@contextlib.contextmanager
def served(uri: str) -> Iterator[str]:
    """The address of the UI on a store, which is running for as long."""
    if is_http(uri):
        yield uri.rstrip("/")
        return
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "ui", "--backend-store-uri", uri]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, env=env, stdout=quiet, stderr=quiet, start_new_session=True)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                reach(address)
                break
            except CreditError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(1)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(60)


@contextlib.contextmanager
def browser() -> Iterator[Any]:
    """A headless Chromium: the system's, else Playwright's own.

    Raises:
        CreditError: Playwright or the browser is not installed.
    """
    try:
        from playwright.sync_api import Error, sync_playwright  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise CreditError("Playwright is missing: pip install 'credit[screenshots]'") from error
    path = next(filter(None, map(shutil.which, CHROMIUMS)), None)
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=path, args=_ARGUMENTS)
        except Error as error:
            raise CreditError(
                "no Chromium starts: apt-get install chromium, or playwright install chromium"
            ) from error
        yield chromium
        chromium.close()


def visit(chromium: Any, address: str, shot: Shot) -> "Page":
    """The page of a shot, loaded, in a window of its own."""
    page = chromium.new_page(viewport={"width": WIDTH, "height": shot.height})
    page.set_default_timeout(PATIENCE_S * 1000)
    page.add_init_script(_NO_ASSISTANT)
    page.goto(f"{address}/{shot.link}")
    page.get_by_text(shot.expected).first.wait_for()
    if shot.act:
        shot.act(page)
    page.wait_for_timeout(1000)
    return page


def small(png: bytes) -> bytes:
    """The picture with few colours, which is a third of its size and looks the same."""
    from PIL import Image

    packed = io.BytesIO()
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.quantize(COLOURS, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def main() -> None:
    """Take them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--only", default="", help="names, comma-separated; default all")
    given = parser.parse_args()
    store = open_store()
    wanted = shots(store)
    names = given.only.split(",") if given.only else list(wanted)
    check_names(names, wanted, "screenshot")
    given.folder.mkdir(parents=True, exist_ok=True)
    with served(store.uri) as address, browser() as chromium:
        for name in names:
            page = visit(chromium, address, wanted[name])
            target = given.folder / f"{name}.png"
            target.write_bytes(small(page.screenshot()))
            page.close()
            print(f"{target}  {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    try:
        main()
    except CreditError as error:
        sys.exit(f"credit: {error}")
