"""Is it the depth, the labels, the penalty, or the embedding?"""

from credit.commands import run

if __name__ == "__main__":
    run("matched_controls")
