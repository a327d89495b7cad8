"""Is it the depth, the labels, the penalty, or the embedding?"""

from credit import cli
from credit.experiments.matched_controls import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
