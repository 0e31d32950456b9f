"""Decides whether the demo may open a page in a browser. Pure."""

from collections.abc import Mapping
from pathlib import PurePath
from typing import Final

_IN_THIS_TERMINAL: Final = frozenset({"www-browser", "links", "elinks", "lynx", "w3m"})
"""The text browsers that Python's ``webbrowser`` starts."""


def has_browser(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a graphical browser that is started here is visible to the person at this terminal.

    Without a display Python would start a text browser in this terminal, and over SSH the browser
    would open on a remote screen. A program that the person names in ``BROWSER`` is one that they
    see: editors that work over SSH, and WSL, put a program there that opens pages at the person's.
    """
    if named := environ.get("BROWSER", "").split():
        return PurePath(named[0]).name not in _IN_THIS_TERMINAL
    if environ.get("SSH_CONNECTION"):
        return False
    if platform in ("darwin", "win32"):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
