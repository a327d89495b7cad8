"""When the protocol's verdicts fire, how far their bounds could move, and its own controls."""

from credit import cli
from credit.experiments.protocol import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
