"""Every rule on one network under one protocol."""

from credit.commands import run

if __name__ == "__main__":
    run("atlas")
