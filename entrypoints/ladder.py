"""Depth-utility ladder: does training more blocks raise accuracy?"""

from credit.commands import run

if __name__ == "__main__":
    run("ladder")
