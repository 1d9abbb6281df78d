"""Download public corpora with `torchaudio.datasets`, completely or not at all."""

import http.client
import importlib
import os
import shutil
import socket
import ssl
import tarfile
import urllib.error
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath

TIMEOUT = 60.0
"""Seconds to wait for data from a server."""


@dataclass(frozen=True)
class Source:
    """Source of a corpus.

    Attributes:
        fetch: downloads one part into a folder and unpacks it there.
        host: server that `fetch` uses.
        page: page to download the corpus from by hand.
        parts: parts that can be downloaded separately; empty if there are none.
        whole: whether the default is all parts.
    """

    fetch: Callable[[Path, str], object]
    host: str
    page: str
    parts: tuple[str, ...] = ()
    whole: bool = True


def _librispeech(folder: Path, part: str) -> None:
    _datasets().LIBRISPEECH(folder, part, download=True)


def _vctk(folder: Path, part: str) -> None:
    _datasets().VCTK_092(str(folder), download=True)


def _cmuarctic(folder: Path, part: str) -> None:
    # The full address, because torchaudio has checksums only for these, not for those it derives from a name.
    archive = f"http://festvox.org/cmu_arctic/packed/cmu_us_{part}_arctic.tar.bz2"
    _datasets().CMUARCTIC(folder, archive, folder_in_archive=".", download=True)


def _voxceleb1(folder: Path, part: str) -> None:
    _datasets().VoxCeleb1Identification(folder, download=True)


def _datasets() -> ModuleType:
    """`torchaudio.datasets`, imported here because torchaudio loads only beside the builds of torch it was made for.

    Raises:
        ImportError: torchaudio is missing, or its binary does not load.
    """
    try:
        return importlib.import_module("torchaudio.datasets")
    except OSError as error:  # of the linker
        raise ImportError(str(error.__cause__ or error)) from error


SOURCES = {
    "librispeech": Source(
        _librispeech,
        "www.openslr.org",
        "https://www.openslr.org/12",
        ("dev-clean", "dev-other", "test-clean", "test-other", "train-clean-100", "train-clean-360", "train-other-500"),
        whole=False,
    ),
    "vctk": Source(_vctk, "datashare.is.ed.ac.uk", "https://datashare.is.ed.ac.uk/handle/10283/3443"),
    "cmuarctic": Source(
        _cmuarctic,
        "festvox.org",
        "http://festvox.org/cmu_arctic/packed/",
        (
            *("aew", "ahw", "aup", "awb", "axb", "bdl", "clb", "eey", "fem"),
            *("gka", "jmk", "ksp", "ljm", "lnh", "rms", "rxr", "slp", "slt"),
        ),
    ),
    "voxceleb1": Source(_voxceleb1, "thor.robots.ox.ac.uk", "https://mm.kaist.ac.kr/datasets/voxceleb/"),
}


def download(what: str, folder: StrPath) -> Path:
    """Download a public corpus and unpack it, unless this was done before.

    After an interruption, complete archives are not downloaded again (except for VoxCeleb1), and partially unpacked
    ones are unpacked again. Archives are checked against torchaudio's checksums, and deleted at the end.

    Args:
        what: a corpus, with parts if it has any: `vctk`, `librispeech:dev-clean`, `cmuarctic:awb,slt`.
        folder: folder in which to create a folder for the corpus.

    Returns:
        The folder to scan, with nothing but the corpus.

    Raises:
        UserError: the corpus or part is unknown, torchaudio cannot be imported, or the network, the server or the disk
            fails.
    """
    name, parts = _parse(what)
    done = Path(folder) / (f"{name}-{'+'.join(parts)}" if ":" in what else name)
    if done.is_dir():
        return done
    partial = done.parent / f".{done.name}.partial"
    with _explain_errors(what, SOURCES[name], partial):
        _sweep(partial)
        with _timeout():
            for part in parts or ("",):
                SOURCES[name].fetch(partial, part)
        for path in list(partial.iterdir()):
            if path.is_file():
                path.unlink()
        os.replace(partial, done)
    return done


def _parse(what: str) -> tuple[str, tuple[str, ...]]:
    """Name and parts, in the order of `SOURCES`."""
    name, colon, listed = what.partition(":")
    if name not in SOURCES:
        known = [f"{name}:{source.parts[0]}" if source.parts else name for name, source in SOURCES.items()]
        raise UserError(f"download {what!r}: unknown corpus {name!r}; expected one such as {', '.join(known)}")
    source = SOURCES[name]
    named = set(listed.split(",")) if colon else set(source.parts if source.whole else ("",))
    if not named <= set(source.parts):
        expected = f"one or more of {', '.join(source.parts)}" if source.parts else f"{name!r} alone"
        example = f", as in {name}:{source.parts[0]}" if source.parts else ""
        found = ", ".join(sorted(named)) or "no part"
        raise UserError(f"download {what!r}: found {found}; expected {expected}{example}")
    return name, tuple(part for part in source.parts if part in named)


def _sweep(partial: Path) -> None:
    """Remove everything but complete archives, because torchaudio accepts a partially unpacked folder as complete."""
    partial.mkdir(parents=True, exist_ok=True)
    for path in list(partial.iterdir()):
        if path.is_dir():
            shutil.rmtree(path)
        elif path.suffix == ".partial":
            path.unlink()


@contextmanager
def _timeout() -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(TIMEOUT)
    try:
        with warnings.catch_warnings():
            # torchaudio unpacks without a filter, but only archives with known checksums.
            warnings.simplefilter("ignore", DeprecationWarning)
            yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _explain_errors(what: str, source: Source, partial: Path) -> Iterator[None]:
    by_hand = f"download it by hand from {source.page}, unpack it, and prepare that folder"
    damaged = f"{what}: the download from {source.host} is damaged; try again, or {by_hand}"
    try:
        yield
    except ImportError as error:
        raise UserError(
            f"{what}: torchaudio cannot be imported ({error}); install the build of torchaudio that belongs to the "
            f"installed torch, or {by_hand}"
        ) from error
    except urllib.error.HTTPError as error:
        error.close()
        raise UserError(f"{what}: {source.host} answers {error.code} {error.reason}; {by_hand}") from error
    except (urllib.error.URLError, http.client.HTTPException, ConnectionError, TimeoutError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error
        raise UserError(f"{what}: cannot reach {source.host}: {reason}; try again, or {by_hand}") from error
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        shutil.rmtree(partial)
        raise UserError(damaged) from error
    except OSError as error:
        if error.errno is None:  # raised by a decompressor
            shutil.rmtree(partial)
            raise UserError(damaged) from error
        raise UserError(f"{what}: {error.filename or partial}: {error.strerror}; fix this and try again") from error
    except RuntimeError as error:
        if "invalid hash value" not in str(error):
            raise
        raise UserError(damaged) from error
