"""Do estimators find the gradient of a network that stands still?"""

from credit import cli
from credit.experiments.frozen_recovery import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
