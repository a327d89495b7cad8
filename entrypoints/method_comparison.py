"""Accuracy, direction and cost of every rule in one deep network."""

from credit import cli
from credit.experiments.method_comparison import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
