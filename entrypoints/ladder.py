"""Depth-utility ladder: does training more blocks raise accuracy?"""

from credit import cli
from credit.experiments.ladder import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
