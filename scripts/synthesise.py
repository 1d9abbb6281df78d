"""Former spelling of scripts/synthesize.py."""

from speakerid.cli import main

if __name__ == "__main__":
    main("synthesize")
