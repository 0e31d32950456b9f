"""Whether a page may be opened in a browser. Pure."""

from collections.abc import Mapping


def has_browser(environ: Mapping[str, str], platform: str) -> bool:
    """Whether the person at this terminal sees a graphical browser that is started here.

    Without a display Python would start a text browser in this very terminal; and over SSH
    the browser would open on a screen far away.
    """
    if environ.get("SSH_CONNECTION"):
        return False
    if platform in ("darwin", "win32"):
        return True
    return bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
