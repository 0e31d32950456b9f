"""An identity provider whose answers are measured: each question, and each HTTP request."""

from collections.abc import Awaitable
from typing import Final, TypeVar

from mintage.errors import UpstreamError, UpstreamRefused, UpstreamUnavailable
from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, UpstreamTokens
from mintage.telemetry.metrics import PROVIDER_HTTP_SECONDS, PROVIDER_SECONDS, PROVIDER_UP
from mintage.telemetry.steps import Kind, Probe
from mintage.telemetry.words import status_class
from mintage.upstream.logout_token import LogoutToken
from mintage.upstream.protocol import (
    Exchange,
    HttpRequest,
    HttpResponse,
    IdJag,
    Judge,
    LoginRequest,
    Transport,
    UpstreamClient,
)

T = TypeVar("T")


def _outcome(error: BaseException | None) -> str:
    """One of the three answers, or a fault."""
    match error:
        case None:
            return "yes"
        case UpstreamRefused():
            return "no"
        case UpstreamUnavailable():
            return "unknown"
        case UpstreamError():
            return "fault"
        case _:
            return "error"


QUESTION: Final = Kind("provider", PROVIDER_SECONDS, _outcome)
HTTP: Final = Kind("provider request", PROVIDER_HTTP_SECONDS, lambda _: "none")


class MeasuredClient(UpstreamClient):
    """Passes each question on to *client*, and measures it. *name* is the provider's."""

    def __init__(self, client: UpstreamClient, name: str, probe: Probe) -> None:
        self._client = client
        self._name = name
        self._probe = probe

    async def _ask(self, question: str, work: Awaitable[T]) -> T:
        with self._probe.step(QUESTION, self._name, question):
            return await work

    async def authorization_url(self, login: LoginRequest) -> str:
        return await self._ask("discovery", self._client.authorization_url(login))

    async def check_issuer(self, iss: str | None) -> None:
        await self._client.check_issuer(iss)

    async def redeem(
        self, code: str, login: LoginRequest, *, now: int
    ) -> tuple[UpstreamTokens, Identity]:
        return await self._ask("login", self._client.redeem(code, login, now=now))

    async def refresh(
        self, tokens: UpstreamTokens, *, now: int, judge: Judge | None = None
    ) -> Renewed:
        return await self._ask("refresh", self._client.refresh(tokens, now=now, judge=judge))

    def issued(self, tokens: UpstreamTokens) -> bool:
        return self._client.issued(tokens)

    async def id_jag(self, tokens: UpstreamTokens, wanted: IdJag, *, now: int) -> str:
        return await self._ask("id_jag", self._client.id_jag(tokens, wanted, now=now))

    async def redeem_id_jag(self, assertion: str, *, now: int) -> UpstreamTokens:
        return await self._ask("id_jag", self._client.redeem_id_jag(assertion, now=now))

    async def exchange(
        self, tokens: UpstreamTokens, wanted: Exchange, *, now: int
    ) -> UpstreamTokens:
        return await self._ask("exchange", self._client.exchange(tokens, wanted, now=now))

    async def revoke(self, tokens: UpstreamTokens) -> None:
        await self._ask("revoke", self._client.revoke(tokens))

    async def logout_url(self, back: str) -> str | None:
        return await self._ask("discovery", self._client.logout_url(back))

    async def read_logout(self, token: str, *, now: int) -> LogoutToken:
        # Not measured: anyone may send a token, and a bad one says nothing about the provider.
        return await self._client.read_logout(token, now=now)

    async def check(self) -> None:
        await self._ask("discovery", self._client.check())

    async def close(self) -> None:
        await self._client.close()


class MeasuredTransport(Transport):
    """Passes each request on to *transport*, and measures it. *name* is the provider's."""

    def __init__(self, transport: Transport, name: str, probe: Probe) -> None:
        self._transport = transport
        self._name = name
        self._probe = probe

    async def send(self, request: HttpRequest) -> HttpResponse:
        with self._probe.step(HTTP, self._name, request.about, detail=request) as step:
            try:
                response = await self._transport.send(request)
            except UpstreamError:
                self._probe.set(PROVIDER_UP, 0, self._name)
                raise
            self._probe.set(PROVIDER_UP, 1, self._name)
            step.outcome, step.status = status_class(response.status), response.status
            return response

    async def close(self) -> None:
        await self._transport.close()
