"""What the token endpoint and the metadata ask of a grant type, and what they give to one."""

from collections.abc import Collection, Mapping
from typing import ClassVar, Final, Protocol, TypeAlias, runtime_checkable

import msgspec

from mintage.clients.client import Client
from mintage.grant_tokens import TokenResponse
from mintage.trust.issuer import Purpose
from mintage.web.forms import Form

Members: TypeAlias = Mapping[str, object]
"""Members of the server's metadata (RFC 8414 §2)."""

Schema: TypeAlias = dict[str, object]
TEXT: Final[Schema] = {"type": "string"}


class Parameters(msgspec.Struct, frozen=True, kw_only=True):
    """What a token request has besides ``grant_type`` and the client: JSON schemas by name."""

    needed: Mapping[str, Schema]
    others: Mapping[str, Schema]


class TokenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A token request whose client has authenticated, and may use the grant type.

    *source*: from which address it came, if that is to be kept. *jkt*: the thumbprint of the key
    that its DPoP proof proves (RFC 9449 §5). The tokens are to be bound to it; None: to none.
    """

    form: Form
    client: Client
    source: str | None = None
    jkt: str | None = None

    def __repr__(self) -> str:
        return f"TokenRequest(client={self.client!r})"


class GrantType(Protocol):
    """One way to get a token. *name* is its ``grant_type`` (RFC 6749 §4).

    *parameters*: those of its requests, for the OpenAPI document.
    """

    name: ClassVar[str]
    parameters: ClassVar[Parameters]

    @staticmethod
    def metadata(issuer: str, assertions: Collection[Purpose], /) -> Members:
        """What the metadata says where this grant type is on, besides its name.

        *issuer*: the server's. *assertions*: what the assertions are that it accepts.
        """

    async def concerns(self, form: Form, client: Client) -> bool:
        """Whether *form* names a grant of *client*, which a login has made."""

    async def issue(self, request: TokenRequest) -> TokenResponse:
        """The tokens for *request*. Raises `OAuthError` to refuse."""


@runtime_checkable
class ClientlessGrantType(GrantType, Protocol):
    """One whose request need not name a client: what it sends says who it is (RFC 7521 §4.1)."""

    async def issue_without_client(
        self, form: Form, source: str | None, jkt: str | None
    ) -> TokenResponse:
        """The tokens for *form*. Raises `OAuthError` to refuse.

        *source*, *jkt*: see `TokenRequest`.
        """
