"""One run: one credit rule, one k, one seed."""

from credit import cli
from credit.experiments.train import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
