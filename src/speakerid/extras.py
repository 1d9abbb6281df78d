"""How to install the packages that only some commands need."""

EXTRAS = {
    "av": ["av>=13"],
    "onnx": ["onnx>=1.17", "onnxruntime>=1.20"],
    "serve": ["gradio>=6.26"],
}
"""The same requirements as under `[project.optional-dependencies]` in pyproject.toml."""


def install(extra: str) -> str:
    """The command that installs an extra, for users of a wheel and of a checkout.

    It names the packages themselves: the distribution is on no package index, and its import name is another
    author's distribution there.
    """
    packages = " ".join(f"'{package}'" for package in EXTRAS[extra])
    return f"pip install {packages} (in a checkout: pip install -e '.[{extra}]')"
