"""Copy configs/ into the wheel; everything else about the distribution is in pyproject.toml."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Puts settings files where `speakerid.config.shipped` finds them; an editable install reads the checkout's."""

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib) / "speakerid" / "configs"
        self.mkpath(str(folder))
        for path in sorted(Path("configs").glob("*.yaml")):
            self.copy_file(str(path), str(folder / path.name))


setup(cmdclass={"build_py": BuildWithConfigs})
