"""How much of a rule is its direction, how much the scale of its credit?"""

from credit.commands import run

if __name__ == "__main__":
    run("credit_scale")
