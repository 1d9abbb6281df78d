"""`python scripts/prepare.py --help`; the same as `speakerid prepare`."""

from speakerid.cli import main

if __name__ == "__main__":
    main("prepare")
