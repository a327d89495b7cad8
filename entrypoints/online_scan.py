"""Which estimator keeps up with a network that trains on its credit?"""

from credit import cli
from credit.experiments.online_scan import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
