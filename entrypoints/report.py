"""Rebuild table, figure, verdicts and report of a parent run from the store. No training."""

from credit.commands import run

if __name__ == "__main__":
    run("report")
