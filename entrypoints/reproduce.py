"""Run the published programme, and set every reported number beside ours."""

from credit.commands import run

if __name__ == "__main__":
    run("reproduce")
