"""Which estimator keeps up with a network that trains on its credit?"""

from credit.commands import run

if __name__ == "__main__":
    run("online_scan")
