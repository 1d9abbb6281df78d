"""Hook of MkDocs: replace links to files outside docs/, which the site does not have, by their names."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

LINK = re.compile(r"\[([^\]]+)\]\((\.\./[^)#]+)[^)]*\)")


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace links that leave docs/."""
    docs, root = Path(config.docs_dir), Path(config.docs_dir).parent

    def name_of(link: re.Match[str]) -> str:
        target = (docs / page.file.src_uri).parent.joinpath(link[2]).resolve()
        return link[0] if target.is_relative_to(docs) else f"`{target.relative_to(root)}`"

    return LINK.sub(name_of, markdown)
