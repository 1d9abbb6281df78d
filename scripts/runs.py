"""`python scripts/runs.py --help`; the same as `speakerid runs`."""

from speakerid.cli import main

if __name__ == "__main__":
    main("runs")
