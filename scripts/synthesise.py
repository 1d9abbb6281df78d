"""`python scripts/synthesise.py --help`; the same as `speakerid synthesise`."""

from speakerid.cli import main

if __name__ == "__main__":
    main("synthesise")
