"""`python scripts/check.py --help`; the same as `speakerid check`."""

from speakerid.cli import main

if __name__ == "__main__":
    main("check")
