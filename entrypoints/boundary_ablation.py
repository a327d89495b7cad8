"""What must a credit bridge be told, and how is it tied to the output?"""

from credit import cli
from credit.experiments.boundary_ablation import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
