"""Reference of all commands, generated from their parsers."""

from __future__ import annotations

import argparse
import os

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from speakerid.cli import GROUPS, build_parser

INTRODUCTION = """# Commands

The text of every `speakerid COMMAND --help`. In a checkout, `python scripts/train.py` and its neighbors in `scripts/`
are the same commands. A mistake of the user ends a command with one line and exit status 2.
"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page to the site (hook of MkDocs)."""
    files.append(File.generated(config, "commands.md", content=commands_page()))
    return files


def commands_page() -> str:
    """Markdown page with the help text of every command, by group."""
    os.environ["COLUMNS"] = "100"  # argparse wraps its texts to the width of the terminal
    parser = build_parser()
    (commands,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    lines = [INTRODUCTION]
    for group, members in GROUPS.items():
        lines.append(f"\n## {group.capitalize()}\n")
        for name in members:
            lines += [f"### speakerid {name}\n", "```text", commands.choices[name].format_help().rstrip(), "```\n"]
    return "\n".join(lines)
