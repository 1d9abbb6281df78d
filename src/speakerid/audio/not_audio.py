"""Identify files that are named like recordings but are something else: web pages, archives, pointers and others."""

import re

from speakerid.audio.concatenated import Part

_HEAD = 4_096
_SHOWN = 40
_CONVERT = "convert it to WAV or FLAC"
_UNPACK = "unpack it"
_AGAIN = "download it again, and open it in an editor to see what the server says"

_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (rb"version https://git-lfs", "a Git LFS pointer instead of the recording", "run: git lfs pull"),
    (rb"(\.\./)*(\.git)?/annex/objects/", "a git-annex pointer instead of the recording", "run: git annex get"),
    (rb"\s*(<!--.*?-->\s*)*<(!doctype\s+html|html|head|body)", "an HTML page", _AGAIN),
    (rb"\s*<(\?xml|[a-z]+>)", "an XML document", _AGAIN),
    (rb'\s*[{\[]\s*["{\[\]}]', "a JSON document", _AGAIN),
    (rb"NIST_1A\n.*shorten", "a SPHERE file compressed by shorten", "decompress it: sph2pipe -f wav FILE OUT.wav"),
    (rb"PK\x03\x04", "a ZIP archive", _UNPACK),
    (rb"\x1f\x8b", "a gzip archive", _UNPACK),
    (rb"BZh\d", "a bzip2 archive", _UNPACK),
    (rb"\xfd7zXZ\0", "an xz archive", _UNPACK),
    (rb"\x28\xb5\x2f\xfd", "a Zstandard archive", _UNPACK),
    (rb"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (rb"Rar!\x1a", "a RAR archive", _UNPACK),
    (rb".{257}ustar", "a tar archive", _UNPACK),
    (rb"%PDF", "a PDF document", "look for the recording it belongs to"),
    (rb"\xd0\xcf\x11\xe0", "an Office document", "look for the recording it belongs to"),
    (rb"MThd", "a MIDI file, which holds notes and no sound", "look for the recording it belongs to"),
    (rb"\x89PNG|\xff\xd8\xff|GIF8|RIFF....WEBP", "a picture", "look for the recording it belongs to"),
    (rb"\x93NUMPY", "a NumPy array", _CONVERT),
    (rb"\x7fELF|MZ.{0,200}\0\0\0", "a program", "delete it"),
    (rb"SQLite format 3", "a database", "look for the recording it belongs to"),
    (rb"\0\x05\x16\x07", "macOS metadata of a file (AppleDouble)", "delete it; the recording has no ._ in its name"),
    (rb"L\0\0\0\x01\x14\x02\0", "a Windows shortcut", "copy the file that it points to"),
    (rb"#EXTM3U|\[playlist\]|ffconcat", "a playlist", "give the recordings that it lists"),
    (rb"RIFF....AVI ", "an AVI video", f"{_CONVERT}: ffmpeg -i FILE -vn OUT.wav"),
    (rb"\0\0\x01\xba|FLV\x01|G.{187}G", "a video", f"{_CONVERT}: ffmpeg -i FILE -vn OUT.wav"),
    (rb"\.RMF|\.ra\xfd", "RealAudio", f"{_CONVERT}: ffmpeg -i FILE OUT.wav"),
    (rb"DSD |FRM8", "a DSD recording", f"{_CONVERT}: ffmpeg -i FILE OUT.wav"),
    (rb"ajkg", "compressed by shorten", f"{_CONVERT}: ffmpeg -i FILE OUT.wav"),
)  # fmt: skip


def describe_content(part: Part) -> str | None:
    """Describe a file that cannot be decoded, and what to do; None if it may be a damaged recording."""
    head = part.read(_HEAD).removeprefix(b"\xef\xbb\xbf")  # byte order mark
    for pattern, name, remedy in _KINDS:
        if re.match(pattern, head, re.DOTALL | re.IGNORECASE):
            return f"it is {name}; {remedy}"
    if not any(head):
        return "it begins with only zero bytes, like an interrupted copy; copy or download it again"
    if text := _text(head):
        return f"it is text, not a recording, and begins with {text!r}; {_AGAIN}"
    return None


def _text(head: bytes) -> str | None:
    """First words of a text; None if the bytes are not text."""
    encoding = "utf-16" if head[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = head[: len(head) - 4 if len(head) == _HEAD else None].decode(encoding)
    except UnicodeDecodeError as error:
        if len(head) < _HEAD or error.start < _HEAD - 8:
            return None
        text = head[: error.start].decode(encoding)
    words = " ".join(text.split())
    return words[:_SHOWN] if words and all(letter.isprintable() or letter.isspace() for letter in text) else None
