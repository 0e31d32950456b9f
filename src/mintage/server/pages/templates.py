"""The templates of the pages. Imported at the first page, because Jinja2 takes long to import."""

from functools import cache
from pathlib import Path
from typing import Final

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FileSystemLoader,
    PackageLoader,
    StrictUndefined,
    TemplateSyntaxError,
)

_OURS: Final = PackageLoader("mintage.server", "pages")


def templates(directory: str | None) -> Environment:
    """The templates of the pages: those in *directory*, and Mintage's for what is not there.

    Raises ``ValueError`` for a file in *directory* that is no template of a page.
    """
    if directory is None:
        return _ours()
    environment = _environment(ChoiceLoader([FileSystemLoader(directory), _OURS]))
    known = {name for name in _OURS.list_templates() if name.endswith(".html")}
    for name in sorted(path.name for path in Path(directory).iterdir()):
        if name not in known:
            raise ValueError(f"{name} is none of: {', '.join(sorted(known))}")
        try:
            environment.get_template(name)
        except TemplateSyntaxError as error:
            raise ValueError(f"{name}, line {error.lineno}: {error.message}") from None
    return environment


@cache
def _ours() -> Environment:
    """Mintage's own, which no setting changes: each is compiled once, whatever is reloaded."""
    return _environment(_OURS)


def _environment(loader: BaseLoader) -> Environment:
    return Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        auto_reload=False,  # it would look at each template's file for each page
        trim_blocks=True,
        lstrip_blocks=True,
    )
