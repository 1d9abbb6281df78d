"""Import the public names of a module on first use (PEP 562), so that importing the module itself is quick."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

GetAttribute = Callable[[str], Any]


def lazy_names(module: str, sources: Mapping[str, str]) -> tuple[GetAttribute, Callable[[], list[str]]]:
    """`__getattr__` and `__dir__` for a module that re-exports names.

    Args:
        module: its `__name__`.
        sources: what each public name stands for: `package.module:attribute`, or `package.module` for a whole module.
    """

    def get_attribute(name: str) -> Any:
        if name not in sources:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        source, _, attribute = sources[name].partition(":")
        found = import_module(source)
        value = getattr(found, attribute) if attribute else found
        setattr(sys.modules[module], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[module]), *sources})

    return get_attribute, names
