"""Does accuracy rise as residual blocks are added?"""

from credit.commands import run

if __name__ == "__main__":
    run("depth_scan")
