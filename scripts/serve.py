"""`python scripts/serve.py --help`; the same as `speakerid serve`."""

from speakerid.cli import main

if __name__ == "__main__":
    main("serve")
