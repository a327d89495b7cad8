"""Import exported runs into the tracking store, so that UI and notebooks show them untrained."""

from credit.commands import run

if __name__ == "__main__":
    run("import")
