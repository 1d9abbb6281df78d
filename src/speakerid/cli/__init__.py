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
from speakerid.cli.parsing import Parser, did_you_mean
from speakerid.cli.streams import LostOutput, abandon_stdout, guard_streams
from speakerid.errors import LACK_OF_MEMORY, LostProcess, UserError, is_lack_of_memory, message
from speakerid.printing import visible


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
    """Exit with the status an action returns, or with 2 and one line where the user made a mistake.

    The status is 2, too, where standard output cannot be written, and 1 where its reader has left.
    """
    try:
        guard_streams()
        status = _status(action)
        sys.stdout.flush()
    except LostOutput as error:
        abandon_stdout()
        if not error.reader_left:
            print(f"error: {error}", file=sys.stderr)
        status = 1 if error.reader_left else 2
    except BrokenPipeError:  # of a stream that is not guarded
        abandon_stdout()
        status = 1
    sys.exit(status)


def _status(action: Callable[[], int]) -> int:
    """Exit status of an action; what went wrong is printed."""
    rank = int(os.environ.get("RANK", 0))
    try:
        status = action()
        time.sleep(RANK_SECONDS if rank and status else 0)
        return status
    except (LostOutput, BrokenPipeError):
        raise
    except UserError as error:
        time.sleep(LOST_SECONDS if isinstance(error, LostProcess) else RANK_SECONDS if rank else 0)
        print(f"error: {f'rank {rank}: ' if rank else ''}{message(error)}", file=sys.stderr)
        return 2
    except Exception as error:
        if not is_lack_of_memory(error):
            raise
        print(f"error: {LACK_OF_MEMORY}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; nothing half-written is left", file=sys.stderr)
        return 130
    except SystemExit as end:  # of argparse, or with a message
        if isinstance(end.code, str):
            print(visible(end.code), file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)


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
    parser, commands = _parsers(program)
    if arguments and arguments[0] in commands:
        options = commands[arguments[0]].parse_args(arguments[1:])
        return options.action(options)
    if arguments and not arguments[0].startswith("-"):
        near = did_you_mean(arguments[0], list(commands)) or f"; expected one of {', '.join(commands)}"
        parser.error(f"unknown command {arguments[0]!r}{near}")
    parser.parse_args(arguments)
    return 2


def build_parser(program: str = "speakerid") -> argparse.ArgumentParser:
    """All commands with their options; `action` of what it parses runs the command."""
    return _parsers(program)[0]


def _parsers(program: str) -> tuple[argparse.ArgumentParser, dict[str, Parser]]:
    """The parser of the whole command line, and by name those of the commands."""
    parser = argparse.ArgumentParser(
        prog="speakerid", description="Train and use speaker-identification models; every command answers --help."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=Parser)
    for name, module in COMMANDS.items():
        prog = program if program != "speakerid" else f"speakerid {name}"
        text = (module.__doc__ or "").strip()
        summary = text.split("\n", 1)[0]
        form = argparse.RawDescriptionHelpFormatter
        command = commands.add_parser(name, prog=prog, help=summary, description=text, formatter_class=form)
        command.set_defaults(program=prog, action=module.run)
        module.add_arguments(command)
    return parser, commands.choices
