"""``[status_list]``: the list of ended grants, for verifiers elsewhere."""

from typing import Annotated

import msgspec
from msgspec import Meta

from mintage.errors import ConfigError


class StatusListSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[status_list]``: the list of ended logins is on if the file has this table.

    It needs `tokens.signing_key`: [how to use it](how-to/verify-tokens-elsewhere.md).
    """

    size: Annotated[int, Meta(ge=8192, le=16_777_216, multiple_of=1024)] = 1_048_576
    """How many numbers the list has: a multiple of 1024. A login has two or three at a time."""
    ttl: Annotated[int, Meta(ge=1, le=60)] = 3
    """For how many seconds a verifier may use the list before it fetches it again."""


def check_status_list(
    section: StatusListSection | None, *, signs: bool
) -> StatusListSection | None:
    """*section*, if there can be a list. *signs*: whether access tokens have a key of their own.

    Raises `ConfigError`.
    """
    if section is not None and not signs:
        raise ConfigError(
            "status_list",
            "needs tokens.signing_key: nobody else can verify the tokens or the list without it",
        )
    return section
