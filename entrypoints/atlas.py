"""Every rule on one network under one protocol."""

from credit import cli
from credit.experiments.atlas import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
