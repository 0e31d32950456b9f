"""Decides whether the demo may open a page in a browser. Pure."""

from collections.abc import Mapping


def has_browser(environ: Mapping[str, str], platform: str) -> bool:
    """Whether a graphical browser that is started here is visible to the person at this terminal.

    Without a display Python would start a text browser in this terminal, and over SSH the browser
    would open on a remote screen.
    """
    if environ.get("SSH_CONNECTION"):
        return False
    if platform in ("darwin", "win32"):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
