"""Export a parent run and its child runs as plain files: JSON, Parquet, and the small artifacts."""

from credit.commands import run

if __name__ == "__main__":
    run("export")
