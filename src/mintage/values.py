"""Small types without behaviour of their own, for all packages."""

import hmac
from collections.abc import Callable, Iterable
from typing import Final, NewType, NoReturn, TypeAlias, final

GrantId = NewType("GrantId", str)  # public: safe in logs and on admin pages
Jti = NewType("Jti", str)  # secret: opens the vault
ClientId = NewType("ClientId", str)

Clock: TypeAlias = Callable[[], float]  # seconds since the epoch
RandomBytes: TypeAlias = Callable[[int], bytes]  # that many unguessable bytes

Scopes: TypeAlias = tuple[str, ...]  # distinct, in the order they were asked for

# RFC 6749 §3.3: scope-token = 1*( %x21 / %x23-5B / %x5D-7E )
_SCOPE_CHARS = frozenset(map(chr, [0x21, *range(0x23, 0x5C), *range(0x5D, 0x7F)]))


def parse_scope(text: str) -> Scopes:
    """The scopes of a space-separated ``scope`` parameter (RFC 6749 §3.3), each once.

    Raises ``ValueError`` on a character that no scope may have.
    """
    return check_scopes(part for part in text.split(" ") if part)


def check_scopes(scopes: Iterable[str]) -> Scopes:
    """*scopes* as a tuple, each once. Raises ``ValueError`` if one is not a scope-token."""
    if isinstance(scopes, str):
        raise ValueError("scopes are a list of strings, not one string")  # noqa: TRY004
    distinct = tuple(dict.fromkeys(scopes))
    for scope in distinct:
        if not isinstance(scope, str) or not scope or not _SCOPE_CHARS.issuperset(scope):
            raise ValueError("a scope is one or more printable ASCII characters without spaces")
    return distinct


@final
class Secret:
    """Bytes that are never printed: repr, str, format and pickle all refuse."""

    __slots__ = ("_value",)

    def __init__(self, value: bytes) -> None:
        self._value: Final = value

    def reveal(self) -> bytes:
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._value, other.reveal())

    def __hash__(self) -> int:
        return hash((Secret, self._value))

    def __repr__(self) -> str:
        return "Secret(…)"

    def __format__(self, spec: str) -> NoReturn:
        raise TypeError("a Secret is not formatted")

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Secret is not pickled")
