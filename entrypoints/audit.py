"""The audit of one rule, or with run_id of one finished run, of which nothing is trained."""

from credit.commands import run

if __name__ == "__main__":
    run("audit")
