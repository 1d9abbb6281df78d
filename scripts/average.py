"""`python scripts/average.py --help`; the same as `speakerid average`."""

from speakerid.cli import main

if __name__ == "__main__":
    main("average")
