"""The URL of a PostgreSQL store: the driver's part, and Mintage's own settings."""

import re
from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import msgspec

from mintage.errors import StoreUnusable

POOL_SIZE: Final = 10
_MAX_POOL: Final = 1000
_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,40}")
_OWN: Final = ("schema", "pool_size", "pooler", "statement_cache_size")
_POOLERS: Final = {"": None, "auto": None, "none": False, "session": False, "transaction": True}


class Place(msgspec.Struct, frozen=True):
    """*url* is for the driver. *pooled*: whether there is a transaction pooler, None: find out.

    *schema* is empty if the role's search path decides.
    """

    url: str
    schema: str
    pool_size: int
    pooled: bool | None

    @classmethod
    def parse(cls, url: str) -> "Place":
        """Raises `StoreUnusable` for a setting that can't be intended."""
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True)
        own = {name: value for name, value in query if name in _OWN}
        rest = urlencode([(name, value) for name, value in query if name not in _OWN])
        try:
            return cls(urlunsplit(parts._replace(query=rest)), *_settings(own))
        except ValueError as error:
            raise StoreUnusable(f"the store's URL can't be read: {error}") from None

    @property
    def prefix(self) -> str:
        """What comes before a table's name."""
        return f'"{self.schema}".' if self.schema else ""

    @property
    def channel(self) -> str:
        return f"mintage_changes_{self.schema}" if self.schema else "mintage_changes"


def _settings(own: dict[str, str]) -> tuple[str, int, bool | None]:
    schema = own.get("schema", "")
    if schema and not _NAME.fullmatch(schema):
        raise ValueError("schema may have a-z, 0-9 and _, 41 at most, and no digit first")
    size = own.get("pool_size", str(POOL_SIZE))
    if not size.isascii() or not size.isdigit() or not 1 <= int(size) <= _MAX_POOL:
        raise ValueError(f"pool_size must be from 1 to {_MAX_POOL}")
    pooler = own.get("pooler", "")
    if pooler not in _POOLERS:
        raise ValueError("pooler must be auto, none, session or transaction")
    pooled = _POOLERS[pooler]
    if pooled is None and own.get("statement_cache_size") == "0":
        pooled = True  # the driver's own setting for the same
    return schema, int(size), pooled
