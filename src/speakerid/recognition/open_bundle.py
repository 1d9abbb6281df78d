"""A bundle in use, and its file, which other programs may change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from speakerid.base.errors import UserError
from speakerid.base.files import StrPath
from speakerid.recognition.bundle import Bundle, FileVersion, locked, version_of
from speakerid.recognition.voice_encoder import VoiceEncoder

Result = TypeVar("Result")


class OpenBundle:
    """A bundle with its encoder.

    Args:
        bundle: the bundle.
        path: file of the bundle, if changes are to be written.
    """

    def __init__(self, bundle: Bundle, path: StrPath | None = None) -> None:
        if not isinstance(bundle, Bundle):
            raise UserError(f"bundle: found {bundle!r:.80}, expected a Bundle; Recognizer.load(path) reads one")
        self.bundle = bundle
        self.path = None if path is None else Path(path)
        self._encoder = VoiceEncoder(bundle)
        self._version: FileVersion | None = None

    def reload_if_changed(self) -> bool:
        """Load the bundle's file again if another program has changed or replaced it.

        This takes one `stat` if nothing has changed. If the encoder has changed, voices of the former bundle are
        rejected from then on.

        Returns:
            Whether the file was loaded.

        Raises:
            UserError: see `Bundle.load`; the former content stays in use.
        """
        if self.path is None:
            return False
        version = version_of(self.path)
        if version is not None and version == self._version:
            return False
        self._use(Bundle.load(self.path), version)
        return True

    def _use(self, bundle: Bundle, version: FileVersion | None) -> None:
        if bundle.encoder != self._encoder.fingerprint:
            self._encoder = VoiceEncoder(bundle)
        self.bundle, self._version = bundle, version

    def _changed(self, change: Callable[[Bundle], tuple[Bundle, Result]]) -> Result:
        """Change the bundle, and return the result of the change."""
        results = list[Result]()

        def changed(bundle: Bundle) -> Bundle:
            new, result = change(bundle)
            results.append(result)
            return new

        self._change(changed)
        return results[0]

    def _change(self, change: Callable[[Bundle], Bundle]) -> None:
        if self.path is None:
            self.bundle = change(self.bundle)
            return
        with locked(self.path):
            version = version_of(self.path)
            self._use(Bundle.load(self.path), version)
            bundle = change(self.bundle)
            self._use(bundle, bundle.save(self.path))
