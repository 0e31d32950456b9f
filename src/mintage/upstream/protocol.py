"""The identity provider, as values. Nothing here sends anything.

A provider's module builds an `HttpRequest` and reads an `HttpResponse`; `transport` alone
carries them. What the rest of the house sees is `UpstreamClient`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, UpstreamTokens


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """A request to the provider. *safe*: it may be sent twice (it changes nothing there)."""

    method: Literal["GET", "POST", "DELETE"]
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)
    json: Mapping[str, str] | None = field(default=None, repr=False)
    safe: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """An answer, whole and within the size limit. Header names are lower-case."""

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)


class Transport(Protocol):
    """The only HTTP that leaves for the provider: time-outs, sizes and retries live there."""

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The provider's answer, whatever its status below 500.

        Raises `UpstreamUnavailable` on a time-out, a failed connection, a 5xx or a 429, and
        `UpstreamMisbehaved` on an oversized answer. Redirects are not followed.
        """

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRequest:
    """One user on the way to the provider: our own client leg (RFC 9700 §2.1).

    *prompt*, *max_age* (seconds) and *login_hint* are the client's wish, passed on as far as
    the provider knows them (OpenID Connect Core §3.1.2.1).
    """

    redirect_uri: str
    state: str
    nonce: str
    code_verifier: str = field(repr=False)
    prompt: str | None = None
    max_age: int | None = None
    login_hint: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = ()  # on top of those that are always asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """For whom a token is to be exchanged (RFC 8693 §2.1). *token_endpoint*: None for the usual."""

    audience: str | None = None
    resource: str | None = None
    scope: str | None = None
    token_endpoint: str | None = None


Judge = Callable[[Identity, bool], Identity]
"""(who it is by now, whether that is all that there is to say) → who it is from now on.

Raises `NotAdmitted` for a user who may not stay, and `HalfKnown` where that can't be said.
"""


class UpstreamClient(Protocol):
    """Asks one identity provider. Every method raises `UpstreamError` and nothing else."""

    async def authorization_url(self, login: LoginRequest) -> str:
        """Where to send the browser (RFC 6749 §4.1.1, with PKCE S256, state and nonce)."""

    async def check_issuer(self, iss: str | None) -> None:
        """Refuse a callback that another server sent (RFC 9207 §2.4).

        *iss* is the callback's parameter, None where it had none. Raises
        `UpstreamMisbehaved` where it differs, or is missing though the provider promises it.
        """

    async def redeem(
        self, code: str, login: LoginRequest, *, now: int
    ) -> tuple[UpstreamTokens, Identity]:
        """The tokens that *code* stands for, and who logged in; the id_token is verified."""

    async def refresh(
        self, tokens: UpstreamTokens, *, now: int, judge: Judge | None = None
    ) -> Renewed:
        """New tokens; a refresh token that the provider did not replace is carried over.

        A token that can't be renewed (``recheck``) is asked about instead: the same token comes
        back, good for a while again. Raises `UpstreamRefused` on ``invalid_grant``, or when the
        provider no longer knows the token: the login is over.

        *judge* is shown who the user is by now, as far as the provider can be asked. If it
        raises `NotAdmitted`, that is raised, and the new tokens are revoked.
        """

    def issued(self, tokens: UpstreamTokens) -> bool:
        """Whether this very provider gave *tokens*; no other may see them."""

    async def exchange(
        self, tokens: UpstreamTokens, wanted: Exchange, *, now: int
    ) -> UpstreamTokens:
        """A token for somebody else, for the user's access token (RFC 8693).

        Raises `UpstreamRefused` where the provider won't give one.
        """

    async def revoke(self, tokens: UpstreamTokens) -> None:
        """End the tokens at the provider, in its own way, where it can (RFC 7009)."""

    async def check(self) -> None:
        """Returns if the provider is known: its discovery document is here, or can be had."""

    async def close(self) -> None: ...
