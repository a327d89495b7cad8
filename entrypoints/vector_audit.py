"""Does a learned vector field beat a scalar, and its own controls?"""

from credit.commands import run

if __name__ == "__main__":
    run("vector_audit")
