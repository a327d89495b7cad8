"""How does learned credit fare as blocks bend and their number grows?"""

from credit import cli
from credit.experiments.nonlinearity_ladder import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
