"""Do learned rules find an exact costate?"""

from credit.commands import run

if __name__ == "__main__":
    run("toy_lq")
