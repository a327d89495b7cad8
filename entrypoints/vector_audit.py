"""Does a learned vector field beat a scalar, and its own controls?"""

from credit import cli
from credit.experiments.vector_audit import EXPERIMENT

if __name__ == "__main__":
    cli.main(EXPERIMENT)
