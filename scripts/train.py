"""`python scripts/train.py --help`; the same as `speakerid train`."""

from speakerid.cli import main

if __name__ == "__main__":
    main("train")
