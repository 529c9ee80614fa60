"""Hooks of the documentation site: its diagrams' library comes from the build folder, links out of docs/ become names.

Material would load the library for diagrams from another server; where `make site` has fetched it from the npm
registry, the site carries it itself, and where npm is missing the diagrams stay as text.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

LIBRARY = Path("build/mermaid/package/dist/mermaid.min.js")
#: Files of the repository that pages point to, which the site does not carry.
_OUTSIDE = re.compile(r"\]\((?:\.\./)+(?!docs/)([^)#]+?)(#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Carry the library, or leave diagrams as code."""
    if LIBRARY.is_file():
        config.extra_javascript = [*config.extra_javascript, "assets/mermaid.min.js"]
    else:
        config.mdx_configs["pymdownx.superfences"] = {}
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the library to what is copied."""
    if LIBRARY.is_file():
        files.append(File.generated(config, "assets/mermaid.min.js", abs_src_path=str(LIBRARY.resolve())))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """A link to a file outside docs/ becomes the file's name: the site does not carry the source tree."""
    depth = page.file.src_uri.count("/")

    def outside(found: re.Match[str]) -> str:
        ups = found.group(0).count("../")
        return found.group(0) if ups <= depth else f"] (`{found.group(1)}`)"

    return _OUTSIDE.sub(outside, markdown)
