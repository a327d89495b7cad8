"""Where a rule's credit points, with and without the branch penalty."""

from credit import cli
from credit.experiments.direction_quality import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
