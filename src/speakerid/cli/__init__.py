"""Command line: `speakerid train|infer|prepare|…`, also used by scripts/*.py.

Each command is a module of this package. Heavy imports are inside its `run`, so --help and errors in options are quick.
"""

import argparse
import os
import shutil
import sys
import textwrap
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from speakerid import __version__
from speakerid.base.errors import MEMORY_REMEDY, LostProcess, UserError, is_memory_error, message
from speakerid.base.extras import without_package
from speakerid.base.printing import visible
from speakerid.cli import (
    average,
    check,
    configs,
    correct,
    enroll,
    evaluate,
    export,
    forget,
    identify,
    infer,
    label,
    listen,
    plan,
    prepare,
    rename,
    runs,
    serve,
    speakers,
    synthesize,
    train,
    verify,
)
from speakerid.cli.arguments import Parser, did_you_mean
from speakerid.cli.streams import LostOutput, discard_stdout, guard_streams


class Command(Protocol):
    """Module of a command. Its docstring is the text of --help; the first line is also in the list of commands."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add the command's options to its parser."""

    def run(self, options: argparse.Namespace) -> int:
        """Run the command and return the exit status."""
        ...


GROUPS: dict[str, dict[str, Command]] = {
    "data": {"prepare": prepare, "check": check, "plan": plan, "synthesize": synthesize},
    "train": {"train": train, "configs": configs, "runs": runs, "average": average, "infer": infer},
    "use": {
        "export": export,
        "identify": identify,
        "label": label,
        "listen": listen,
        "verify": verify,
        "enroll": enroll,
        "correct": correct,
        "forget": forget,
        "rename": rename,
        "speakers": speakers,
        "evaluate": evaluate,
        "serve": serve,
    },
}
COMMANDS = {name: module for group in GROUPS.values() for name, module in group.items()}
FORMER_SPELLINGS = {"synthesize": ["synthesise"]}
"""Names that commands had before; they still work."""
RANK_SECONDS, LOST_SECONDS = 5.0, 10.0
"""Seconds to wait before failing, for ranks other than 0 and for processes that lost another one. The launcher stops
all processes after the first failure, so this lets the process with the actual error report it."""


def main(command: str | None = None) -> None:
    """Run a command and exit.

    Args:
        command: name of the command, for scripts with a single one. Default: the first command-line argument.
    """
    arguments = sys.argv[1:] if command is None else [command, *sys.argv[1:]]
    program = "speakerid" if command is None else f"python {sys.argv[0]}"
    exit_with(lambda: run(arguments, program))


def exit_with(action: Callable[[], int]) -> None:
    """Exit with the status that an action returns; after a user error, with one line and status 2.

    The status is also 2 if standard output cannot be written, and 1 if its reader has closed it.
    """
    try:
        guard_streams()
        status = _status(action)
        sys.stdout.flush()
    except LostOutput as error:
        discard_stdout()
        if not error.reader_left:
            print(f"error: {error}", file=sys.stderr)
        status = 1 if error.reader_left else 2
    except BrokenPipeError:  # raised by an unguarded stream
        discard_stdout()
        status = 1
    sys.exit(status)


def _status(action: Callable[[], int]) -> int:
    """Run an action and return its exit status; print its error, if any."""
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
    except ModuleNotFoundError as error:
        remedy = without_package(error)
        if remedy is None:
            raise
        print(f"error: {remedy}", file=sys.stderr)
        return 2
    except Exception as error:
        if not is_memory_error(error):
            raise
        print(f"error: {MEMORY_REMEDY}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; no partial files are left", file=sys.stderr)
        return 130
    except SystemExit as end:  # from argparse, or with a message
        if isinstance(end.code, str):
            print(visible(end.code), file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)


def run(arguments: Sequence[str], program: str = "speakerid") -> int:
    """Run a command.

    Args:
        arguments: the command and its arguments.
        program: program name for help texts: `speakerid`, or a script with a single command.

    Returns:
        The exit status.

    Raises:
        UserError: the user made a mistake.
    """
    parser, commands = _parsers(program)
    if arguments and arguments[0] in commands:
        options = commands[arguments[0]].parse_args(arguments[1:])
        return options.action(options)
    if arguments and not arguments[0].startswith("-"):
        near = did_you_mean(arguments[0], list(COMMANDS)) or f"; expected one of {', '.join(COMMANDS)}"
        parser.error(f"unknown command {arguments[0]!r}{near}")
    parser.parse_args(arguments)
    return 2


def build_parser(program: str = "speakerid") -> argparse.ArgumentParser:
    """Parser of all commands and options; `action` of the parsed options runs the command."""
    return _parsers(program)[0]


def _parsers(program: str) -> tuple[argparse.ArgumentParser, dict[str, Parser]]:
    """Parser of the whole command line, and those of the commands by name."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        "speakerid", "speakerid [-h] [--version] COMMAND ...", _description(), formatter_class=form
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="COMMAND", parser_class=Parser, help=argparse.SUPPRESS
    )
    for name, module in COMMANDS.items():
        prog = program if program != "speakerid" else f"speakerid {name}"
        text = (module.__doc__ or "").strip()
        former = FORMER_SPELLINGS.get(name, ())
        command = commands.add_parser(name, prog=prog, description=text, formatter_class=form, aliases=former)
        command.set_defaults(program=prog, action=module.run)
        module.add_arguments(command)
    return parser, commands.choices


def _description() -> str:
    """What the program is for, and the commands by group."""
    lines = ["Train and use speaker-identification models; every command has --help."]
    width, columns = max(map(len, COMMANDS)) + 4, shutil.get_terminal_size().columns - 2
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        for name, module in commands.items():
            summary = f"  {name:<{width - 2}}" + (module.__doc__ or "").strip().split("\n", 1)[0]
            lines.append(textwrap.fill(summary, max(columns, 2 * width), subsequent_indent=" " * width))
    return "\n".join(lines)
