"""The identity provider's protocol as values. Nothing here sends anything.

A provider's module builds an `HttpRequest` and reads an `HttpResponse`; only `transport` sends
them. The rest of the program uses `UpstreamClient`.
"""

from collections.abc import Callable, Mapping
from typing import Literal, Protocol, TypeAlias

import msgspec

from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, UpstreamTokens
from mintage.partly_shown import PartlyShown
from mintage.upstream.logout_token import LogoutToken

About: TypeAlias = Literal[
    "discovery", "keys", "code", "refresh", "exchange", "id_jag", "introspection", "user",
    "revocation",
]  # fmt: skip
"""What a request to the provider is about."""


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """A request to the provider. *safe*: it may be sent twice (it changes nothing there)."""

    method: Literal["GET", "POST", "DELETE"]
    url: str
    about: About = "user"
    headers: Mapping[str, str] = {}
    form: Mapping[str, str] | None = None
    json: Mapping[str, str] | None = None
    safe: bool = False

    def __repr__(self) -> str:
        return f"HttpRequest({self.method} {self.url}, …)"


class HttpResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A whole response within the size limit. Header names are lower-case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def __repr__(self) -> str:
        return f"HttpResponse({self.status}, …)"


class Transport(Protocol):
    """The only HTTP client for the provider. Time-outs, size limits and retries are here."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The provider's response, whatever its status below 500.

        `UpstreamMisbehaved` for a response that is too large. Redirects are not followed.
        """

    async def close(self) -> None: ...


class LoginParameters(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """How the client asks for the login to be done (OpenID Connect Core §3.1.2.1).

    *max_age* is in seconds. The provider gets each parameter that it knows.
    """

    prompt: str | None = None
    max_age: int | None = None
    login_hint: str | None = None


class LoginRequest(PartlyShown, frozen=True, kw_only=True):
    """One login at the provider, where Mintage is the client (RFC 9700 §2.1).

    *scopes*: on top of those that are always asked for. *ui_locales*: the languages that the client
    wants the pages to have.
    """

    not_shown = ("code_verifier", "parameters")

    redirect_uri: str
    state: str
    nonce: str
    code_verifier: str
    parameters: LoginParameters = LoginParameters()
    scopes: tuple[str, ...] = ()
    ui_locales: str | None = None


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is exchanged for (RFC 8693 §2.1). *token_endpoint*: None for the usual one."""

    audience: str | None = None
    resource: str | None = None
    scope: str | None = None
    token_endpoint: str | None = None


class IdJag(msgspec.Struct, frozen=True, kw_only=True):
    """What an ID-JAG is for, and whose token it is exchanged for.

    (draft-ietf-oauth-identity-assertion-authz-grant-04 §4.3.) *audience*: the issuer of the
    authorization server that takes it. *client_id*: Mintage's own there. *resource* and *scope*: at
    that server. *subject*: which of the user's tokens shows the provider who it is.
    """

    audience: str
    client_id: str
    resource: str | None = None
    scope: str | None = None
    subject: Literal["id_token", "refresh_token"] = "id_token"


Judge = Callable[[Identity, bool], Identity]
"""(who it is by now, whether that is all that there is to say) → who it is from now on.

Raises `NotAdmitted` for a user who may not stay, and `HalfKnown` where that can't be said.
"""


class UpstreamClient(Protocol):
    """Asks one identity provider. Every method raises `UpstreamError` and nothing else."""

    async def authorization_url(self, login: LoginRequest) -> str:
        """Where to send the browser (RFC 6749 §4.1.1, with PKCE S256, state and nonce).

        Raises `UpstreamUnavailable` if the provider can't be reached, as far as one can ask.
        """

    async def check_issuer(self, iss: str | None) -> None:
        """Refuse a callback that another server sent (RFC 9207 §2.4).

        *iss* is the callback's parameter, None where it had none. Raises
        `UpstreamMisbehaved` where it differs, or is missing though the provider promises it.
        """

    async def redeem(
        self, code: str, login: LoginRequest, *, now: int
    ) -> tuple[UpstreamTokens, Identity]:
        """The tokens for *code*, and who logged in. The id_token is verified."""

    async def refresh(
        self, tokens: UpstreamTokens, *, now: int, judge: Judge | None = None
    ) -> Renewed:
        """New tokens. A refresh token that the provider did not replace is kept.

        For a token that can't be renewed (``recheck``) the provider is asked instead: the same
        token comes back, valid for another while. Raises `UpstreamRefused` on ``invalid_grant``, or
        when the provider no longer knows the token: the login has ended.

        *judge* is called with the user as they are now, if the provider can be asked. If it raises
        `NotAdmitted`, that is raised, and the new tokens are revoked.
        """

    def issued(self, tokens: UpstreamTokens) -> bool:
        """Whether this very provider issued *tokens*. No other may get them."""

    async def exchange(
        self, tokens: UpstreamTokens, wanted: Exchange, *, now: int
    ) -> UpstreamTokens:
        """A token for another service, for the user's access token (RFC 8693)."""

    async def id_jag(self, tokens: UpstreamTokens, wanted: IdJag, *, now: int) -> str:
        """The provider's assertion of who the user is, for another authorization server.

        Raises `UpstreamRefused` if the provider gives none, or the token for it is not there.
        """

    async def redeem_id_jag(self, assertion: str, *, now: int) -> UpstreamTokens:
        """The token that this authorization server gives for an ID-JAG (RFC 7523 §2.1)."""

    async def revoke(self, tokens: UpstreamTokens) -> None:
        """Revoke the tokens at the provider, in its own way, if it has one (RFC 7009)."""

    async def logout_url(self, back: str) -> str | None:
        """Where a browser logs out at the provider; None if it has no such page.

        *back*: where the provider may send the browser afterwards.
        """

    async def read_logout(self, token: str, *, now: int) -> LogoutToken:
        """The provider's verified request to end logins (OpenID Connect Back-Channel Logout §2.6).

        Raises `BadLogoutToken` or `UnknownKid` for a token that is not valid.
        """

    async def check(self) -> None:
        """Returns if the provider answered just now, or does. Without discovery, always."""

    async def close(self) -> None: ...
