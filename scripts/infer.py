"""`python scripts/infer.py --help`; the same as `speakerid infer`."""

from speakerid.cli import main

if __name__ == "__main__":
    main("infer")
