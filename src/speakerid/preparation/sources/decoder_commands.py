"""Decoding commands in the listings of Kaldi and lhotse. They are parsed, never executed."""

import shlex
from collections.abc import Sequence
from typing import NamedTuple

from speakerid.base.errors import UserError
from speakerid.base.printing import printable


class _Decoder(NamedTuple):
    """A decoding program."""

    options: dict[str, int]
    """Options that do not change the speech, with the number of their arguments."""
    channel: str = ""
    """Option or effect that selects one channel, counted from 1."""
    effects: tuple[str, ...] = ()
    """Effects, given after the output, that do not change the speech; each has one argument."""


_SOX = {"-t": 1, "-r": 1, "-b": 1, "-e": 1, "-G": 0, "-q": 0, "-V1": 0, "-D": 0, "-R": 0, "-c": 1, "--no-dither": 0}
_DECODERS = {
    "flac": _Decoder({"-c": 0, "-d": 0, "-s": 0, "--decode": 0, "--stdout": 0, "--silent": 0, "--totally-silent": 0}),
    "sph2pipe": _Decoder({"-f": 1, "-p": 0, "-c": 1, "-w": 0}, "-c"),
    "sox": _Decoder(_SOX, "remix", ("remix", "rate", "channels")),
    "ffmpeg": _Decoder({"-i": 1, "-f": 1, "-v": 1, "-loglevel": 1, "-ar": 1, "-acodec": 1, "-c:a": 1, "-y": 0,
                        "-nostdin": 0, "-hide_banner": 0, "-vn": 0, "-threads": 1, "-ac": 1}),
    "cat": _Decoder({}),
    "opusdec": _Decoder({"--force-wav": 0, "--quiet": 0, "--rate": 1}),
    "mpg123": _Decoder({"-q": 0, "-w": 1, "-s": 0}),
    "lame": _Decoder({"--decode": 0, "--quiet": 0, "--silent": 0, "-S": 0}),
}  # fmt: skip


def plain_file(command: str) -> tuple[str, int | None]:
    """Get the file that a command decodes, and the index of the channel that it selects.

    Args:
        command: the command, with or without a final `|`.

    Returns:
        The file, and the zero-based channel, None if the command does not select one.

    Raises:
        UserError: the command does anything other than decode one file.
    """
    text = command.strip().removesuffix("|").strip()
    refused = UserError(
        f"found the command {printable(text)!r}, which is not executed; expected a file, or a command that only "
        "decodes one; write its output to files and list those"
    )
    try:
        words = shlex.split(text)
    except ValueError:
        raise refused from None
    words = [word for word in words if word != "2>/dev/null"]
    if not words or set(text) & set("|;&<`$"):
        raise refused
    decoder = _DECODERS.get(words[0].rpartition("/")[2])
    if decoder is None:
        raise refused
    files, taken = _sorted(words[1:], decoder)
    files = [taken["-i"], *files] if "-i" in taken else files
    if not files or files[1:] not in ([], ["-"], ["pipe:1"], ["pipe:"]):
        raise refused
    channel = taken.get(decoder.channel)
    if channel not in (None, "1", "2"):
        raise refused
    return files[0], int(channel) - 1 if channel else None


def _sorted(words: Sequence[str], decoder: _Decoder) -> tuple[list[str], dict[str, str]]:
    """Split words into files and the values of options and effects."""
    files, taken = list[str](), dict[str, str]()
    rest = iter(words)
    for word in rest:
        if word in decoder.options:
            taken[word] = " ".join(next(rest, "") for _ in range(decoder.options[word]))
        elif len(files) > 1 and word in decoder.effects:
            taken[word] = next(rest, "")
        elif not (word.startswith("-") and word != "-" and all(f"-{letter}" in decoder.options for letter in word[1:])):
            files.append(word)
    return files, taken
