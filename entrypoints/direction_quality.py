"""Where a rule's credit points, with and without the branch penalty."""

from credit.commands import run

if __name__ == "__main__":
    run("direction_quality")
