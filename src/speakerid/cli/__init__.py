"""The command line: `speakerid train|infer|prepare|…`, and the same behind scripts/*.py.

A command is a module of this package. Heavy imports stand inside its `run`, so that --help and a mistyped option answer
at once.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from speakerid.cli import (
    average,
    check,
    enroll,
    evaluate,
    export,
    forget,
    identify,
    infer,
    prepare,
    rename,
    runs,
    serve,
    speakers,
    synthesise,
    train,
    verify,
)
from speakerid.errors import LostProcess, UserError


class Command(Protocol):
    """What a command's module holds; its docstring is what --help says, the first line in the list of commands."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options to its parser."""

    def run(self, options: argparse.Namespace) -> int:
        """Do it, and return the exit status."""
        ...


COMMANDS: dict[str, Command] = {
    "train": train,
    "runs": runs,
    "average": average,
    "infer": infer,
    "export": export,
    "identify": identify,
    "verify": verify,
    "enroll": enroll,
    "forget": forget,
    "rename": rename,
    "speakers": speakers,
    "serve": serve,
    "prepare": prepare,
    "evaluate": evaluate,
    "check": check,
    "synthesise": synthesise,
}
RANK_SECONDS, LOST_SECONDS = 5.0, 10.0
"""How long processes other than the first wait, and those that only lost another, before they end in failure: the
launcher then ends all, and rank 0 has something to say first."""


def main(command: str | None = None) -> None:
    """Run a command and exit.

    Args:
        command: of a script that has just one; by default the first word the user typed.
    """
    arguments = sys.argv[1:] if command is None else [command, *sys.argv[1:]]
    program = "speakerid" if command is None else f"python {sys.argv[0]}"
    exit_with(lambda: run(arguments, program))


def exit_with(action: Callable[[], int]) -> None:
    """Exit with the status an action returns, or with 2 and one line where the user made a mistake."""
    rank = int(os.environ.get("RANK", 0))
    try:
        status = action()
        time.sleep(RANK_SECONDS if rank and status else 0)
        sys.exit(status)
    except UserError as error:
        time.sleep(LOST_SECONDS if isinstance(error, LostProcess) else RANK_SECONDS if rank else 0)
        print(f"error: {f'rank {rank}: ' if rank else ''}{error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("interrupted; nothing half-written is left", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:  # the reader, `head` for instance, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def run(arguments: Sequence[str], program: str = "speakerid") -> int:
    """Run a command.

    Args:
        arguments: the command and what belongs to it.
        program: what the user typed to get here; `speakerid`, or a script of one command.

    Returns:
        The exit status.

    Raises:
        UserError: whatever the user can mend.
    """
    options = build_parser(program).parse_args(arguments)
    return options.action(options)


def build_parser(program: str = "speakerid") -> argparse.ArgumentParser:
    """All commands with their options; `action` of what it parses runs the command."""
    parser = argparse.ArgumentParser(
        prog="speakerid", description="Train and use speaker-identification models; every command answers --help."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, module in COMMANDS.items():
        prog = program if program != "speakerid" else f"speakerid {name}"
        text = (module.__doc__ or "").strip()
        summary = text.split("\n", 1)[0]
        form = argparse.RawDescriptionHelpFormatter
        command = commands.add_parser(name, prog=prog, help=summary, description=text, formatter_class=form)
        command.set_defaults(program=prog, action=module.run)
        module.add_arguments(command)
    return parser
