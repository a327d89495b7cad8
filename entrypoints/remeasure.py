"""Measure finished runs again, from their checkpoints, and log what their store lacks."""

from credit.commands import run

if __name__ == "__main__":
    run("remeasure")
