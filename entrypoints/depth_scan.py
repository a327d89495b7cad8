"""Does accuracy rise as residual blocks are added?"""

from credit import cli
from credit.experiments.depth_scan import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
