"""Do estimators find the gradient of a network that stands still?"""

from credit.commands import run

if __name__ == "__main__":
    run("frozen_recovery")
