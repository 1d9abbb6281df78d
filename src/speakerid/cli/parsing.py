"""Parse command lines: options anywhere among the arguments, and suggestions for mistyped ones."""

import argparse
import difflib
from collections.abc import Sequence
from typing import Any, NoReturn

from speakerid.base.printing import visible


class Parser(argparse.ArgumentParser):
    """Argument parser with one-line messages in printable characters, which suggest the option that was meant."""

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> argparse.Namespace:  # type: ignore[override]
        """Parse all arguments; positional ones may be before and after options.

        Do not use it for a parser with subcommands, whose parsers read the rest of the line.
        """
        options, extras = self.parse_known_intermixed_args(args, namespace)
        if extras:
            self.error(f"unrecognized arguments: {' '.join(extras)}{self._nearest(extras)}")
        return options

    def error(self, message: str) -> NoReturn:
        super().error(visible(message))

    def _nearest(self, extras: Sequence[str]) -> str:
        known = [option for action in self._actions for option in action.option_strings]
        unknown = [extra.partition("=")[0] for extra in extras if extra.startswith("-")]
        return did_you_mean(unknown[0], known) if unknown else ""


def did_you_mean(found: str, known: Sequence[str]) -> str:
    """`; did you mean …?` with the closest known word; empty if none is close."""
    near = difflib.get_close_matches(found, known, n=1)
    return f"; did you mean {near[0]}?" if near else ""
