"""`python scripts/evaluate.py --help`; the same as `speakerid evaluate`."""

from speakerid.cli import main

if __name__ == "__main__":
    main("evaluate")
