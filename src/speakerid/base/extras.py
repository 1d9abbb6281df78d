"""Install commands for the packages that only some commands need."""

EXTRAS = {
    "av": ["av>=13"],
    "onnx": ["onnx>=1.17", "onnxruntime>=1.20"],
    "serve": ["gradio>=6.26"],
}
"""Requirements of each extra, as in `[project.optional-dependencies]` of pyproject.toml."""


def install(extra: str) -> str:
    """Command that installs an extra, for users of a wheel and of a checkout.

    It names the packages themselves, since this distribution is not on PyPI and its import name is another author's
    distribution there.
    """
    packages = " ".join(f"'{package}'" for package in EXTRAS[extra])
    return f"pip install {packages} (in a checkout: pip install -e '.[{extra}]')"
