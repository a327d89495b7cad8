"""How much of a rule is its direction, how much the scale of its credit?"""

from credit import cli
from credit.experiments.credit_scale import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
