"""`python -m credit` is the program `credit`."""

from credit.commands import main

if __name__ == "__main__":
    main()
