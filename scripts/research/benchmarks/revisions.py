"""Check out revisions of `speakerid`, and run their code in processes of their own."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from speakerid import UserError
from speakerid.corpus.utterances import PACKED, PARTS

RESEARCH = Path(__file__).resolve().parents[1]
ROOT = RESEARCH.parents[1]
WRITTEN = ("src", "configs")
"""Folders of a revision that are needed to run it."""
FORMAT_1 = (
    "features", "dtype", "utterances", "frames", "digest", "blocks", "index", "names", "source", "speakers",
    "speaker_names", "sessions",
)  # fmt: skip
"""Fields of a packed store's head in the first format."""


def write_revision(revision: str, folder: Path) -> None:
    """Write the sources of a revision.

    Raises:
        UserError: the revision is unknown.
    """
    folder.mkdir()
    archive = subprocess.run(["git", "archive", revision, *WRITTEN], cwd=ROOT, capture_output=True)
    if archive.returncode:
        reason = archive.stderr.decode().strip().splitlines()
        raise UserError(f"--against {revision}: not a git revision with src/ ({reason[-1]})")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    # Some revisions read their version from the metadata of an installed package.
    metadata = folder / "src" / "speakerid-0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: speakerid\nVersion: 0\n")


def write_current(folder: Path) -> None:
    """Write the sources of the working tree as they are now, so that edits during a benchmark do not affect it."""
    for name in WRITTEN:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))


def write_format_1(corpus: Path, folder: Path) -> Path:
    """Write a packed corpus in the first format, which earlier revisions open too; its frames are symbolic links.

    Returns:
        `folder`.
    """
    store = folder / PACKED
    store.mkdir(parents=True)
    for part in PARTS:
        path = corpus.resolve() / PACKED / f"{part}.json"
        if path.exists():
            head = json.loads(path.read_bytes())
            content = {"format": "speakerid store 1"} | {field: head[field] for field in FORMAT_1}
            (store / path.name).write_text(json.dumps(content), encoding="utf-8")
            for kind in ("frames", "index", "names"):
                name = f"{part}-{head['digest']}.{kind}"
                (store / name).symlink_to(path.with_name(name))
    return folder


def environment(source: Path, threads: int | None = None) -> dict[str, str]:
    """Environment variables of a process that runs a revision.

    Args:
        source: folder with `src/`.
        threads: number of threads of torch; by default its own choice.
    """
    path = os.pathsep.join([str(source / "src"), str(RESEARCH)])
    return os.environ | {"PYTHONPATH": path} | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
