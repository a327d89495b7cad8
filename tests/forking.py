"""Entry points in forks of one process that has imported everything: real invocations, fast.

`python tests/forking.py` reads one request per line on stdin, {"script", "words", "env", "cwd",
"folder"} as JSON, runs it as `python -m entrypoints.<script> <words>` would, with stdout and stderr
in files of `folder`, and answers with the exit status on a line of stdout. Imports cost a process
seconds; a fork has them already, and else shares nothing with the next one.
"""

import contextlib
import json
import os
import runpy
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import NamedTuple, Self

ROOT = Path(__file__).parent.parent
PATIENCE_SECONDS = 300
"""When a fork counts as stuck, on the busiest machine: what it should do takes well under one."""


class Done(NamedTuple):
    """How an invocation ended."""

    status: int
    out: str
    err: str


class Forks:
    """The process that forks, from the side of the tests; use it as a context manager."""

    def __enter__(self) -> Self:
        self._parent = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.communicate()  # the end of its stdin ends it

    def call(
        self, script: str, words: list[str], env: dict[str, str], cwd: Path, folder: Path
    ) -> Done:
        """Run an entry point in a fork; `env` is all of its environment."""
        assert self._parent.stdin and self._parent.stdout
        request = {"script": script, "words": words, "env": env}
        request |= {"cwd": str(cwd), "folder": str(folder)}
        self._parent.stdin.write(json.dumps(request) + "\n")
        self._parent.stdin.flush()
        status = int(self._parent.stdout.readline())
        return Done(status, *((folder / name).read_text() for name in ("stdout", "stderr")))


def real(script: str, words: list[str], env: dict[str, str], cwd: Path) -> Done:
    """The same in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", f"entrypoints.{script}", *words],
        cwd=cwd,
        env=env | {"PYTHONPATH": os.pathsep.join([str(ROOT), env.get("PYTHONPATH", "")])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def _import_everything() -> None:
    os.environ["MLFLOW_LOGGING_LEVEL"] = "WARNING"  # as an entry point sets it
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
    import sklearn.datasets  # noqa: F401
    import torchvision.datasets  # noqa: F401

    import credit.report
    import credit.toy_lq.tracked
    import credit.tracking.portable  # noqa: F401
    from credit import rules

    for name in rules.available():
        rules.get(name)


def _serve() -> None:
    sys.path[0] = str(ROOT)  # as `python -m` has it
    _import_everything()
    for line in sys.stdin:
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(**request)
        print(_status(pid), flush=True)


def _become(script: str, words: list[str], env: dict[str, str], cwd: str, folder: str) -> None:
    """What a fork does: turn into the invocation, and end with its status."""
    status = 70
    try:
        for number, name in enumerate(("/dev/null", f"{folder}/stdout", f"{folder}/stderr")):
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC if number else os.O_RDONLY
            file = os.open(name, flags, 0o644)
            os.dup2(file, number)
            os.close(file)
        os.environ.clear()
        os.environ.update(env)
        os.chdir(cwd)
        sys.path += [path for path in env.get("PYTHONPATH", "").split(os.pathsep) if path]
        sys.argv = [f"entrypoints/{script}.py", *words]
        runpy.run_module(f"entrypoints.{script}", run_name="__main__", alter_sys=True)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
        status = 1
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _status(pid: int) -> int:
    """Wait for a fork; end it when it is stuck."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    _serve()
