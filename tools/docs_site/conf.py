"""Sphinx's settings for the documentation site: docs/ as it is, in Furo's theme.

The pages stay plain Markdown that reads well in a clone. What only a site needs is added here: the
order of the pages, drawings from their text, and links to files outside of docs/.
"""

import tomllib
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from mintage import __version__

HERE = Path(__file__).parent
CONTENTS = tomllib.loads((HERE / "contents.toml").read_text(encoding="utf-8"))

project = "Mintage"
release = version = __version__
copyright = "the authors of Mintage, Apache-2.0"  # noqa: A001  (Sphinx's name for it)
language = "en"

extensions = ["myst_parser", "sphinx_copybutton"]
myst_enable_extensions = ["colon_fence", "attrs_block"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
# A heading twice on a page, or a page that starts deeper, is no mistake of these pages.
suppress_warnings = ["myst.header", "misc.highlighting_failure"]
highlight_language = "text"
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True
copybutton_remove_prompts = True
copybutton_selector = "div:not(.highlight-text) > div.highlight > pre"

html_theme = "furo"
html_title = f"Mintage {release}"
html_static_path = [str(HERE / "static")]
templates_path = [str(HERE / "templates")]
html_css_files = ["mintage.css"]
html_js_files = ["mermaid.min.js", "drawings.js"]
html_copy_source = False
html_show_sourcelink = False
html_show_sphinx = False
html_favicon = str(HERE / "static" / "favicon.svg")
html_theme_options = {
    "navigation_with_keys": True,
    "light_css_variables": {"color-brand-primary": "#0b57d0", "color-brand-content": "#0b57d0"},
    "dark_css_variables": {"color-brand-primary": "#a8c7fa", "color-brand-content": "#a8c7fa"},
}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/search.html",
        "versions.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}


class Mermaid(SphinxDirective):
    """A drawing from text. The page's script draws it; without scripts its text is shown."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        content = "\n".join(self.content)
        text = nodes.literal_block(content, content, language="text")
        return [nodes.container("", text, classes=["drawing"])]


def _with_contents(_app: Sphinx, name: str, source: list[str]) -> None:
    """Give the first page the order of all pages, which a clone's reader doesn't need."""
    sections = CONTENTS["section"] if name == "index" else []
    for section in sections:
        source[0] += _toctree(section["pages"], f":maxdepth: 2\n:caption: {section['title']}")
    if name in CONTENTS["below"]:
        source[0] += _toctree(CONTENTS["below"][name], ":glob:")


def _toctree(pages: list[str], options: str) -> str:
    return "\n```{toctree}\n:hidden:\n" + options + "\n\n" + "\n".join(pages) + "\n```\n"


def setup(app: Sphinx) -> dict[str, bool]:
    """Sphinx calls this."""
    app.add_directive("mermaid", Mermaid)
    app.connect("source-read", _with_contents)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
