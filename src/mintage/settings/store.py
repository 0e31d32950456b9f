"""``store``: the URL of the store, which may be a secret."""

from pathlib import Path

from mintage.errors import ConfigError
from mintage.secret_source import SOURCES, Resolve
from mintage.stores.opening import check_store_url


def store_url(store: str, base: Path, resolve: Resolve) -> str:
    """The URL of the store, which may be a secret: it may hold a password.

    Its path is absolute, so that it does not depend on the working directory.
    """
    if store.partition(":")[0] in SOURCES and "://" not in store:
        store = resolve(store, "store").reveal().decode("utf-8", "replace")
    _check(store)
    scheme, _, path = store.partition("://")
    return f"sqlite://{(base / path).absolute()}" if scheme == "sqlite" else store


def _check(store: str) -> None:
    """Raise `ConfigError` unless *store* is the URL of one."""
    try:
        check_store_url(store)
    except ValueError as error:
        raise ConfigError("store", str(error)) from None
    if "\0" in store or (store.endswith("/") and store != "memory://"):
        raise ConfigError("store", "needs the path of a file, not of a directory")
