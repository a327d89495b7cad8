"""One run: one credit rule, one k, one seed."""

from credit.commands import run

if __name__ == "__main__":
    run("train")
