"""Export a recognizer as a static web page, and list or delete the speakers of such a page.

The page computes voice prints by onnxruntime-web and scores them in JavaScript, so nothing leaves the browser. Its
folder holds the encoder, `encoder.onnx`, which knows no speaker, and `profiles.json` with all speakers and the rule.
"""

import base64
import json
import tarfile
import zlib
from importlib.resources import files
from pathlib import Path
from typing import Literal

import numpy as np

from speakerid.base.errors import UserError
from speakerid.base.files import atomic_file, atomic_folder, check_regular
from speakerid.base.printing import nfc
from speakerid.config.settings import Settings, parse
from speakerid.recognition.bundle import Bundle, locked
from speakerid.recognition.bundle_file import RuleContent, SpeakerContent
from speakerid.recognition.centers import PRIOR
from speakerid.recognition.profiles import MOST_CLIPS, RANKED, Scoring
from speakerid.recognition.voice_encoder import SHORTEST, SILENT

PROFILES, ENCODER = "profiles.json", "encoder.onnx"
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
"""Files of onnxruntime-web that the page needs; 1.23.0 and 1.30.0 have been tried."""
SCRIPTS = ("index.html", "page.js", "recognizer.js", "recorder.js", "scoring.js", "sound.js")
STYLES = ("page.css", "answer.css", "browser/browser.css")


class PageSpeaker(SpeakerContent, frozen=True):
    """A speaker of a page.

    Attributes:
        centers: centers in base64 of little-endian float32, see `Profiles`.
    """

    centers: list[str]


class PageProfiles(Settings, frozen=True):
    """Content of `profiles.json`.

    Attributes:
        encoder: fingerprint of the encoder; only its own voice prints can be compared.
        sample_rate: in Hz.
        shortest, silent, ranked, most_clips, prior: constants of the package that the scripts need.
        within, between: see `Plda`.
        rule: when a speaker is named.
        speakers: speakers, in the order of the bundle.
    """

    format: Literal["speakerid page 1"] = "speakerid page 1"
    encoder: str
    sample_rate: int
    shortest: float = SHORTEST
    silent: float = SILENT
    ranked: int = RANKED
    most_clips: int = MOST_CLIPS
    prior: int = PRIOR
    within: float
    between: list[float]
    rule: RuleContent
    speakers: list[PageSpeaker]

    @staticmethod
    def of(bundle: Bundle) -> "PageProfiles":
        """Profiles of a bundle."""
        profiles = bundle.profiles
        speakers = [
            PageSpeaker(name=name, clips=clips, trained=trained, centers=[_base64(center) for center in centers])
            for name, clips, trained, centers in zip(
                profiles.names, profiles.clips, profiles.trained, profiles.centers, strict=True
            )
        ]
        return PageProfiles(
            encoder=bundle.encoder,
            sample_rate=bundle.features.sample_rate,
            within=profiles.plda.within,
            between=profiles.plda.between.tolist(),
            rule=RuleContent.of(bundle.identification),
            speakers=speakers,
        )

    def save(self, folder: Path) -> None:
        """Write `profiles.json` atomically; only its owner can read a new one."""
        with atomic_file(folder / PROFILES, mode=0o600) as partial:
            partial.write_text(self.model_dump_json() + "\n", encoding="utf-8")


def export_page(bundle: Bundle, folder: Path, runtime: Path) -> float:
    """Write the folder of a page, which any server of static files can serve.

    Args:
        bundle: the bundle.
        folder: a new folder.
        runtime: the npm package onnxruntime-web: its .tgz file, or its folder.

    Returns:
        See `export_onnx`.

    Raises:
        UserError: the folder exists or cannot be written, the package is not onnxruntime-web, or as for `export_onnx`.
    """
    library = {name: _runtime_file(runtime, f"dist/{name}") for name in RUNTIME}
    with atomic_folder(folder) as partial:
        deviation = _write_encoder(bundle, partial / ENCODER)
        templates = files("speakerid") / "templates"
        for name in SCRIPTS:
            (partial / name).write_bytes((templates / "browser" / name).read_bytes())
        (partial / "page.css").write_bytes(b"".join((templates / name).read_bytes() for name in STYLES))
        (partial / "onnxruntime-web").mkdir()
        for name, content in library.items():
            (partial / "onnxruntime-web" / name).write_bytes(content)
        PageProfiles.of(bundle).save(partial)
    return deviation


def read_page(folder: Path) -> PageProfiles:
    """Profiles of a page.

    Raises:
        UserError: the folder is not one of a page, or its profiles are damaged.
    """
    path = folder / PROFILES
    try:
        check_regular(path)
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{folder}: found a folder without {PROFILES}, expected a bundle, or a page of `export --to web`"
        ) from error
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: is damaged: {error}; export the page again") from error
    return parse(PageProfiles, content, path)


def forget_in_page(folder: Path, name: str) -> int:
    """Delete a speaker from a page; returns the number of speakers left.

    Raises:
        UserError: see `read_page`, or no speaker has this name.
    """
    with locked(folder / PROFILES):
        page = read_page(folder)
        left = [speaker for speaker in page.speakers if nfc(speaker.name) != nfc(name)]
        if len(left) == len(page.speakers):
            raise UserError(f"{name!r}: no speaker has this name; the command `speakers` lists those there are")
        page.model_copy(update={"speakers": left}).save(folder)
    return len(left)


def _write_encoder(bundle: Bundle, path: Path) -> float:
    """Export a recognizer without speakers, so that a single other file holds their data."""
    from speakerid.deployment.export import export_onnx  # needs torch, which listing and forgetting do not
    from speakerid.deployment.waveform_model import WaveformModel

    all_ = bundle.profiles.scoring
    none = Scoring(all_.slopes[:0], all_.offsets[:0], all_.curvatures, all_.curvature[:0])
    return export_onnx(WaveformModel(bundle.features, bundle.embedder(), none).eval(), path, (), {})


def _runtime_file(package: Path, name: str) -> bytes:
    """Content of a file of an npm package: a folder, or the .tgz file that `npm pack` writes."""
    where = f"--onnxruntime-web: {package}"
    try:
        if package.is_dir():
            return (package / name).read_bytes()
        with tarfile.open(package) as archive:
            member = archive.extractfile(f"package/{name}")
            assert member is not None, "a folder"
            return member.read()
    except (OSError, KeyError, AssertionError, tarfile.TarError, EOFError, zlib.error) as error:
        reason = f"found no {name} in it" if package.exists() else "no such file or folder"
        raise UserError(
            f"{where}: {reason}, expected the package that `npm pack onnxruntime-web@1.30.0` fetches"
        ) from error


def _base64(center: np.ndarray) -> str:
    return base64.b64encode(center.astype("<f4").tobytes()).decode()
