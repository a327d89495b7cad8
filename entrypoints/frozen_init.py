"""How close to the identity is an untrained network?"""

from credit.commands import run

if __name__ == "__main__":
    run("frozen_init")
