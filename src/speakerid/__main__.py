"""`python -m speakerid`; the same as `speakerid`."""

from speakerid.cli import main

if __name__ == "__main__":
    main()
