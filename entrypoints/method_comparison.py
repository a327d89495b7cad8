"""Accuracy, direction and cost of every rule in one deep network."""

from credit.commands import run

if __name__ == "__main__":
    run("method_comparison")
