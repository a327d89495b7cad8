"""Do learned rules find an exact costate?"""

from credit import cli
from credit.experiments.toy_lq import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
