"""What must a credit bridge be told, and how is it tied to the output?"""

from credit.commands import run

if __name__ == "__main__":
    run("boundary_ablation")
