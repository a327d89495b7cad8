"""The tracking store: where it is, whether it answers, and the experiment that runs go to."""

import contextlib
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

import tenacity
from mlflow import MlflowClient
from mlflow.entities import Experiment
from mlflow.exceptions import MlflowException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from credit.errors import CreditError
from credit.tracking import database

EXPERIMENT = "credit"
AWAY = (MlflowException, SQLAlchemyError, OSError)
"""What a store that is away or busy raises; the exceptions of `requests` are OSErrors."""

_QUICK = {"MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1", "MLFLOW_HTTP_REQUEST_TIMEOUT": "5"}
_QUIET = {
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each run that ends
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
_PORT = "http://127.0.0.1:5000"
_REFUSED = ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "BAD_REQUEST")
_TAKEN = ("UniqueViolation", "UNIQUE constraint", "Duplicate entry")
"""What databases say when they refuse a second row of one key."""
_BROKEN = "InterfaceError"  # a connection that the database has closed


def is_final(error: BaseException) -> bool:
    """Whether trying again cannot help: the content is refused, or a file is out of reach."""
    if isinstance(error, MlflowException):
        passing = any(word in str(error) for word in (*_TAKEN, _BROKEN))
        return error.error_code in _REFUSED and not passing
    return isinstance(error, FileNotFoundError | PermissionError)


def _is_taken(error: BaseException) -> bool:
    return isinstance(error, MlflowException) and any(word in str(error) for word in _TAKEN)


repeated_if_taken = tenacity.retry(
    retry=tenacity.retry_if_exception(_is_taken),
    wait=tenacity.wait_random(0, 0.5),
    stop=tenacity.stop_after_attempt(10),
    reraise=True,
)
"""Of a function that may run twice: MLflow looks whether a row is there and writes it if not, and
fails where another writer did the same in between. The next attempt finds the other's row."""


@dataclass(frozen=True)
class Store:
    """A tracking store that has answered, and the experiment in it that runs go to."""

    uri: str
    client: MlflowClient
    experiment_id: str

    @property
    def ui_link(self) -> str:
        """The experiment's page; 3.x opens elsewhere without the query string."""
        base = shown(self.uri).rstrip("/") if is_http(self.uri) else _PORT
        return f"{base}/#/experiments/{self.experiment_id}/runs?workflowType=machine_learning"

    @property
    def ui_command(self) -> str:
        """Return what to type, if anything, and where to look."""
        if is_http(self.uri):
            return self.ui_link
        short = "make ui" if in_checkout() else "credit ui"
        return f"{short} serves {self.ui_link}"


def project_root() -> Path:
    """Return the checkout that this package is in; the current folder where it is installed."""
    folder = Path(__file__).resolve().parents[2]
    return folder if in_checkout() else Path.cwd()


def in_checkout() -> bool:
    """Return whether this package lies beside its MLproject file."""
    return (Path(__file__).resolve().parents[2] / "MLproject").is_file()


def tracking_uri() -> str:
    """MLFLOW_TRACKING_URI, else `mlflow.db` in `project_root`."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{project_root() / 'mlflow.db'}"


def open_store(experiment: str = EXPERIMENT) -> Store:
    """Check that the store answers, create what is missing, and choose the experiment.

    Under `mlflow run` (MLFLOW_RUN_ID) that of its run; otherwise MLFLOW_EXPERIMENT_ID and
    MLFLOW_EXPERIMENT_NAME go before `experiment`.
    """
    uri = tracking_uri()
    path = sqlite_path(uri)
    with database.first_writer(path, reach) if path else contextlib.nullcontext():
        client = reach(uri)
        root = (path.parent / "mlartifacts").as_uri() if path else None
        try:
            return Store(uri, client, _experiment_id(client, uri, experiment, root))
        except AWAY as error:
            raise _unreachable(uri, error) from error


def reach(uri: str) -> MlflowClient:
    """A client whose store has just answered; gives up after seconds, not minutes."""
    _refuse_unencoded(uri)
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    # The Writer says once that the store is away; urllib3 would at each attempt.
    logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
    try:
        with quick_http():
            client = MlflowClient(tracking_uri=uri)
            client.search_experiments(max_results=1)
    except (*AWAY, ImportError, ValueError) as error:  # no driver; tables of no version
        raise _unreachable(uri, error) from error
    return client


def is_http(uri: str) -> bool:
    """Return whether the store is a server rather than a database this process opens itself."""
    return uri.startswith(("http://", "https://"))


def sqlite_path(uri: str) -> Path | None:
    """The database file of a SQLite URI as an absolute path, else None."""
    if not uri.startswith("sqlite"):
        return None
    try:
        name = make_url(uri).database
    except ArgumentError as error:
        raise CreditError(
            f"MLFLOW_TRACKING_URI={shown(uri)} is not a URI: name a file as "
            "sqlite:////path/mlflow.db, or unset it"
        ) from error
    if not name or name == ":memory:":
        raise CreditError(
            f"tracking uri {shown(uri)} keeps nothing: name a file, sqlite:////path/mlflow.db"
        )
    return Path(name).resolve()


def shown(uri: str) -> str:
    """`uri`, or a message with uris in it, without user names and passwords.

    All up to the last @ is secret: a password that nobody encoded may hold @ and / itself.
    """
    plain = re.sub(r"(?<=://)[^/\s]\S*@", "", uri)
    return re.sub(r"(?i)([?&][a-z_]*(?:pass|pwd|token|secret)[a-z_]*=)[^&\s]*", r"\1***", plain)


def _refuse_unencoded(uri: str) -> None:
    """Refuse a URI whose password would be taken for a part of the host or the path."""
    try:
        url = urlsplit(uri) if is_http(uri) else make_url(uri)
    except (ArgumentError, ValueError):
        parts = [uri.partition("@")[2]]
    else:
        http = isinstance(url, SplitResult)
        parts = [url.path] if http else [url.host, url.host and url.database]
    if any("@" in (part or "") for part in parts):
        raise CreditError(
            f"the user name or password of the store at {shown(uri)} holds a bare @ or /: "
            "write %40 and %2F in MLFLOW_TRACKING_URI"
        )


def _experiment_id(client: MlflowClient, uri: str, name: str, root: str | None) -> str:
    run_id, given = os.environ.get("MLFLOW_RUN_ID"), os.environ.get("MLFLOW_EXPERIMENT_ID")
    try:
        if run_id:
            return client.get_run(run_id).info.experiment_id
        if given:
            return _alive(client.get_experiment(given), given)
    except MlflowException as error:
        named, remedy = f"MLFLOW_EXPERIMENT_ID={given}", "unset it"
        if run_id:
            named = f"run {run_id} of MLFLOW_RUN_ID"
            remedy = "set an absolute MLFLOW_TRACKING_URI, or unset MLFLOW_RUN_ID"
        raise CreditError(f"{named} is not in {shown(uri)}: {remedy}") from error
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or name
    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return client.create_experiment(name, artifact_location=root)
        except MlflowException:
            found = client.get_experiment_by_name(name)  # another process was first
            if found is None:
                raise
    return _alive(found, name)


def _alive(experiment: Experiment, name: str) -> str:
    if experiment.lifecycle_stage != "active":
        raise CreditError(
            f"experiment {name!r} is deleted: mlflow experiments restore "
            f"--experiment-id {experiment.experiment_id}, or set MLFLOW_EXPERIMENT_NAME"
        )
    return experiment.experiment_id


@contextlib.contextmanager
def quick_http() -> Iterator[None]:
    """MLflow's HTTP patience cut to seconds, except where the user has set it."""
    added = {name: value for name, value in _QUICK.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def _unreachable(uri: str, error: Exception) -> CreditError:
    cause = shown((str(error).strip().splitlines() or [type(error).__name__])[0])[:200]
    return CreditError(
        f"no tracking store answers at {shown(uri)} ({cause}): start the server, or set or "
        "unset MLFLOW_TRACKING_URI"
    )
