"""When the protocol's verdicts fire, how far their bounds could move, and its own controls."""

from credit.commands import run

if __name__ == "__main__":
    run("protocol")
