"""`python scripts/synthesize.py --help`; the same as `speakerid synthesize`."""

from speakerid.cli import main

if __name__ == "__main__":
    main("synthesize")
