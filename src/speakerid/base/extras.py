"""Install commands for the packages that only some commands need."""

import re
from functools import cache
from importlib.util import find_spec

EXTRAS = {
    "av": ["av>=13"],
    "listen": ["sounddevice>=0.5"],
    "onnx": ["onnx>=1.17", "onnxruntime>=1.20"],
    "runtime": ["onnxruntime>=1.20", "kaldi-native-fbank>=1.20"],
    "serve": ["gradio>=6.26"],
    "train": [
        "torch>=2.11", "torchaudio==2.11.0", "scipy>=1.11", "scikit-learn>=1.4", "matplotlib>=3.8", "tensorboard>=2.16",
    ],
}  # fmt: skip
"""Requirements of each extra, as in `[project.optional-dependencies]` of pyproject.toml."""


_IMPORTED_AS = {"scikit-learn": "sklearn"}


@cache
def installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):  # ValueError: a module without a specification
        return False


def install(extra: str) -> str:
    """Command that installs an extra, for users of a wheel and of a checkout.

    It names the packages themselves, since this distribution is not on PyPI and its import name is another author's
    distribution there.
    """
    packages = " ".join(f"'{package}'" for package in EXTRAS[extra])
    return f"pip install {packages} (in a checkout: pip install -e '.[{extra}]')"


def without_package(error: ModuleNotFoundError) -> str | None:
    """Remedy for a missing package of the extra `train`; None for any other package."""
    missing = (error.name or "").partition(".")[0]
    for requirement in EXTRAS["train"]:
        name = re.split("[=<>]", requirement)[0]
        if _IMPORTED_AS.get(name, name) == missing:
            return f"{name} is not installed, which this needs; {install('train')}"
    return None
