"""Events of the server, and of the people who operate it."""

from typing import ClassVar, Literal

from mintage.events.event import Event


class SettingsLoaded(Event, frozen=True, kw_only=True):
    """A process read its settings. *digest*: 12 hexadecimal digits of a hash of the files."""

    action: ClassVar[str] = "settings_loaded"

    occasion: Literal["start", "reload"] = "start"
    digest: str | None = None


class SettingsRefused(Event, frozen=True, kw_only=True):
    """A process was asked to read its settings again and refused them. *key*: the wrong one."""

    action: ClassVar[str] = "settings_refused"

    key: str


class KeysChanged(Event, frozen=True, kw_only=True):
    """A secret or a signing key was added, replaced or removed.

    *ids*: the public ids of those in use now.
    """

    action: ClassVar[str] = "keys_changed"

    ids: tuple[str, ...] = ()


class AdminAction(Event, frozen=True, kw_only=True):
    """An operator did something, on the command line or through the admin API.

    *operation*: as ``grants end``. *via*: how. *operator*: who, as the machine or the provider
    names them. *count*: how many things it concerned.
    """

    action: ClassVar[str] = "admin_action"

    operation: str
    via: Literal["cli", "api", "page"]
    operator: str | None = None
    count: int | None = None
