"""What pages say, in each language: one TOML file for each.

A text may hold ``<strong>`` and ``{names}``, which the page fills in.
"""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Final

from markupsafe import Markup, escape

from mintage.partly_shown import PartlyShown
from mintage.web.preferences import weighted


class Texts(PartlyShown, frozen=True):
    """The texts of one language. *direction*: ``ltr`` or ``rtl``, as HTML's ``dir`` has it."""

    not_shown = ("by_name",)

    language: str
    direction: str
    by_name: Mapping[str, Markup]

    def __call__(self, name: str, /, **values: object) -> Markup:
        """The text *name* as HTML. Each of *values* is escaped, and keeps its own direction."""
        text = self.by_name[name]
        if not values and "{" not in text:
            return text
        # Markup's own way to format is many times slower, because it is written in Python.
        shown = {key: f"<bdi>{escape(value)}</bdi>" for key, value in values.items()}
        return Markup(str.format(text, **shown))  # noqa: S704  (each value is escaped)

    def plain(self, name: str, /, **values: object) -> str:
        """The text *name*, not as HTML: for a title."""
        return str(self.by_name[name]).format(**values)


def _read(language: str) -> Texts:
    source = files(__name__).joinpath(f"{language}.toml").read_text(encoding="utf-8")
    table = tomllib.loads(source)
    by_name = {
        f"{section}.{name}": Markup(text)  # noqa: S704  (it is part of Mintage)
        for section, texts in table.items()
        if isinstance(texts, dict)
        for name, text in texts.items()
    }
    return Texts(language, table["direction"], by_name)


CATALOGUE: Final = {language: _read(language) for language in ("en", "de", "ar")}
"""The texts by language. The first is for people who prefer none of these."""


def texts_for(ui_locales: str | None, accept_language: str) -> Texts:
    """The texts for a person.

    *ui_locales*: what the client asked for (OpenID Connect Core §3.1.2.1), which counts more than
    the browser's *accept_language* (RFC 9110 §12.5.4).
    """
    asked = (ui_locales or "").lower().split(" ")
    for tag in (*asked, *(value for value, _ in weighted(accept_language))):
        if (found := CATALOGUE.get(tag.partition("-")[0])) is not None:
            return found
    return CATALOGUE["en"]
