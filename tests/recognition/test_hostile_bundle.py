"""An edited bundle is rejected in one line, or works: no traceback, no giant allocation, no hang."""

import json
import os
import resource
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recognition.bundles import Trained, prints
from recognition.hostile import HARMLESS, NUMBERS, REFUSED, rewrite
from speakerid.base.errors import UserError
from speakerid.recognition.bundle import Bundle
from speakerid.recognition.recognizer import Recognizer

SPARE = 2 * 2**30
"""Number of bytes that reading a bundle may allocate."""


@pytest.fixture(autouse=True)
def little_memory() -> Iterator[None]:
    """Make allocations that follow from an edited number fail at once."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + SPARE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def one_line(error: pytest.ExceptionInfo[UserError], path: Path) -> None:
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert 20 < len(str(error.value)) - len(str(path)) < 1000


@pytest.mark.parametrize("name", REFUSED)
def test_what_export_cannot_have_written_is_refused(trained: Trained, tmp_path: Path, name: str) -> None:
    path = tmp_path / "b.safetensors"
    rewrite(trained.path, path, REFUSED[name])
    with pytest.raises(UserError) as error:
        Bundle.load(path)
    one_line(error, path)


@pytest.mark.filterwarnings("ignore:a mel band holds no frequency")
@pytest.mark.parametrize("name", {**HARMLESS, **NUMBERS})
def test_what_might_be_sound_works_or_is_refused(trained: Trained, tmp_path: Path, name: str) -> None:
    path = tmp_path / "b.safetensors"
    rewrite(trained.path, path, {**HARMLESS, **NUMBERS}[name])
    clips = trained.clips(trained.stranger)[:2]
    # Whatever else is raised, a warning of NumPy's included, is an error here.
    with suppress(UserError):
        recognizer = Recognizer.load(path)
        recognizer.identify(clips[0])
        if name in HARMLESS:
            recognizer.enroll("Zoe", clips)
            recognizer.enroll(recognizer.speakers[0], clips[:1], add=True)
            recognizer.forget(recognizer.speakers[1])
            Bundle.load(path)


def test_a_bundle_of_an_earlier_version_works(trained: Trained, tmp_path: Path) -> None:
    """It has neither numbers of clips per center nor digests of recordings."""
    path = tmp_path / "b.safetensors"
    rewrite(trained.path, path, lambda _, t: [t.pop(name) for name in ("centre_clips", "recordings")])
    recognizer = Recognizer.load(path)
    clips = trained.clips(trained.stranger)[:2]
    assert recognizer.identify(clips[0]) == Recognizer(trained.bundle).identify(clips[0])
    recognizer.enroll(recognizer.speakers[0], clips, add=True)
    profiles = Bundle.load(path).profiles
    assert profiles.clips[0] == trained.bundle.profiles.clips[0] + 2 == profiles.center_clips[0].sum()


def with_header(path: Path, source: Path, header: bytes) -> None:
    blob = source.read_bytes()
    length = int.from_bytes(blob[:8], "little")
    path.write_bytes(len(header).to_bytes(8, "little") + header + blob[8 + length :])


@pytest.mark.parametrize(
    "header",
    [b"[" * 100_000, b"{}", b"[]", b"null", b'{"__metadata__": []}', b'{"__metadata__": {"speakerid": 1}}', b"\xff" * 9,
     b'{"__metadata__": {"speakerid": "' + b"[" * 100_000 + b'"}}', b'{"x": {"dtype": "F32"}}',
     b'{"__metadata__": {"speakerid": "{}"}, "x": {"dtype": "F32", "shape": [1e30], "data_offsets": [0, 4]}}',
     b'{"__metadata__": {"speakerid": "{}"}, "x": {"dtype": "F32", "shape": [' + b"9" * 5000 + b'], "data_offsets": 0}',
     b'{"__metadata__": {"speakerid": "{}"}, "x": {"dtype": "F32", "shape": [1], "data_offsets": [-4, 0]}}'],
    ids=range(12),
)  # fmt: skip
def test_headers_of_any_content(trained: Trained, tmp_path: Path, header: bytes) -> None:
    path = tmp_path / "b.safetensors"
    with_header(path, trained.path, header)
    with pytest.raises(UserError) as error:
        Bundle.load(path)
    one_line(error, path)


def test_offsets_that_overlap(trained: Trained, tmp_path: Path) -> None:
    path, blob = tmp_path / "b.safetensors", trained.path.read_bytes()
    length = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + length])
    names = [name for name in header if name != "__metadata__"]
    header[names[0]]["data_offsets"], header[names[1]]["data_offsets"] = (
        header[names[1]]["data_offsets"], header[names[0]]["data_offsets"],
    )  # fmt: skip
    with_header(path, trained.path, json.dumps(header).encode())
    with pytest.raises(UserError) as error:
        Bundle.load(path)
    one_line(error, path)


def test_a_sparse_file_of_a_hundred_gigabytes(trained: Trained, tmp_path: Path) -> None:
    path = tmp_path / "b.safetensors"
    path.write_bytes(trained.path.read_bytes())
    os.truncate(path, 100 * 2**30)
    with pytest.raises(UserError) as error:
        Bundle.load(path)
    one_line(error, path)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_place(trained: Trained, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "b.safetensors"
    values = st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.just([]), st.just({}),
        st.sampled_from([10**6, 10**12, 1e-300, 1e300]),
    )  # fmt: skip

    def mutate(content: dict, _: dict) -> None:
        node = content
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.integers(0, 9)) == 0:
                node[key] = data.draw(values)
                return
            node = node[key]

    rewrite(trained.path, path, mutate)
    with suppress(UserError), np.errstate(all="ignore"):
        bundle = Bundle.load(path)
        bundle.enrolled("Zoe", prints(bundle))
