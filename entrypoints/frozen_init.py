"""How close to the identity is an untrained network?"""

from credit import cli
from credit.experiments.frozen_init import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
