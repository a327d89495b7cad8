"""How does learned credit fare as blocks bend and their number grows?"""

from credit.commands import run

if __name__ == "__main__":
    run("nonlinearity_ladder")
