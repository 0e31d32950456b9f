"""Mintage's client for one identity provider: the provider's data, and a transport."""

import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from msgspec.structs import replace

from mintage.errors import UpstreamError, UpstreamMisbehaved, UpstreamRefused
from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, UpstreamTokens
from mintage.upstream import id_jag, id_token, logout_token, oauth2, user
from mintage.upstream.answers import (
    Answer,
    No,
    Unknown,
    Yes,
    believed,
    to_an_exchange,
    to_an_invented_code,
)
from mintage.upstream.discovery import Documents
from mintage.upstream.logout_token import BadLogoutToken, LogoutToken
from mintage.upstream.protocol import (
    Exchange,
    IdJag,
    Judge,
    LoginRequest,
    Transport,
)
from mintage.upstream.revocation import is_done
from mintage.upstream.token_endpoint import TokenEndpoint
from mintage.upstream.upstream import Upstream
from mintage.upstream.userinfo import Userinfo
from mintage.values import Clock

T = TypeVar("T")

log = logging.getLogger("mintage.upstream")


class HttpUpstreamClient:
    """An `UpstreamClient`. What differs between providers is in *upstream*."""

    def __init__(
        self,
        upstream: Upstream,
        transport: Transport,
        clock: Clock,
        steady: Clock,
    ) -> None:
        self._upstream = upstream
        self._transport = transport
        self._clock = clock
        self._documents = Documents(upstream, transport, steady)
        self._endpoint = TokenEndpoint(upstream, transport)
        self._userinfo = Userinfo(upstream, transport, self._documents, self._endpoint)

    async def authorization_url(self, login: LoginRequest) -> str:
        found = await self._documents.heard()
        return oauth2.authorization_url(
            found.authorization_endpoint,
            self._upstream.client_id,
            login,
            self._upstream,
            nonce=self._upstream.id_token,
        )

    async def check_issuer(self, iss: str | None) -> None:
        if not self._upstream.names_issuer:
            return  # its own name is not known
        found = await self._documents.metadata()
        if iss is None:
            if found.authorization_response_iss_parameter_supported:
                raise UpstreamMisbehaved("the callback has no iss, though the provider promises it")
        elif not id_token.is_issuer(iss, found.issuer, self._upstream.quirks.issuer_aliases):
            raise UpstreamMisbehaved("the callback is from another issuer")

    async def redeem(
        self, code: str, login: LoginRequest, *, now: int
    ) -> tuple[UpstreamTokens, Identity]:
        found = await self._documents.metadata()
        form = oauth2.code_form(code, login, self._upstream)
        tokens, body = await self._endpoint.tokens(found, form, now=now)
        if not self._upstream.id_token:
            return self._of(tokens, await self._userinfo.by_lookups(found, tokens, now=now))
        claims = await self._userinfo.verify(body.get("id_token"), login.nonce, tokens, now)
        tokens = replace(tokens, sid=logout_token.session_id(claims))
        tokens = self._with_id_token(tokens, body.get("id_token"), now=now)
        max_age = login.parameters.max_age
        if max_age is not None and self._upstream.quirks.max_age:
            id_token.check_login_time(claims, max_age, now=now)
        return self._of(tokens, await self._userinfo.by_id_token(found, tokens, claims, now=now))

    async def refresh(
        self, tokens: UpstreamTokens, *, now: int, judge: Judge | None = None
    ) -> Renewed:
        found = await self._documents.metadata()
        if tokens.recheck:
            match await self._userinfo.look_again(found, tokens, now=now):
                case Yes(told):
                    still = user.good_until(tokens, now + self._upstream.recheck_seconds)
                    who = partial(self._userinfo.who_now, found, still, None, told, now=now)
                    return await self._judged(still, who, judge)
                case No(reason) if tokens.refresh_token is None:
                    raise UpstreamRefused(reason)
                case No():
                    pass  # it may still be renewed
                case Unknown() as unknown:
                    believed(unknown)
        if tokens.refresh_token is None:
            raise UpstreamRefused("the provider does not know the token any more")
        form = oauth2.refresh_form(tokens.refresh_token, self._upstream)
        new, body = await self._endpoint.tokens(found, form, now=now, before=tokens)
        new = replace(new, issuer=tokens.issuer, sid=tokens.sid, id_token=tokens.id_token)
        signed = body.get("id_token") or None
        who = partial(self._userinfo.who_now, found, new, signed, None, now=now)
        renewed = await self._judged(new, who, judge, complete=signed is not None)
        if signed is None or renewed.identity is None:  # it was not verified
            return renewed
        with_it = self._with_id_token(renewed.tokens, signed, now=now)
        return replace(renewed, tokens=with_it)

    def _with_id_token(
        self, tokens: UpstreamTokens, id_token: object, *, now: int
    ) -> UpstreamTokens:
        """*tokens* with the *id_token*, which was verified, if it is needed later.

        They are then renewed before it ends too: the answer to a refresh has a new one.
        """
        if not self._upstream.keeps_id_token or not isinstance(id_token, str):
            return tokens
        kept, end = replace(tokens, id_token=id_token), int(id_jag.end_of(id_token))
        if tokens.refresh_token is None or tokens.recheck or end < now + id_jag.SHORTEST:
            return kept
        return replace(kept, expires_at=min(end, tokens.expires_at or end))

    def issued(self, tokens: UpstreamTokens) -> bool:
        return self._upstream.issued(tokens.issuer)

    async def _judged(
        self,
        tokens: UpstreamTokens,
        who_now: Callable[[], Awaitable[Identity | None]],
        judge: Judge | None,
        *,
        complete: bool = False,
    ) -> Renewed:
        """*tokens*, and who the user is now.

        If that is unknown, nothing ends: the user is then who they were. Raises `NotAdmitted`, and
        revokes *tokens*, if *judge* refuses what the provider said.
        """
        if judge is None:
            return Renewed(tokens)
        try:
            who = await who_now()
            if who is None:  # there is nothing to ask
                return Renewed(tokens)
            return Renewed(tokens, judge(who, complete or not self._upstream.id_token))
        except UpstreamRefused:
            with contextlib.suppress(UpstreamError):
                await self.revoke(tokens)
            raise
        except UpstreamError as error:
            log.warning("the provider did not say who the user is now: %s", error)
            return Renewed(tokens, answered=False)

    async def exchange(
        self, tokens: UpstreamTokens, wanted: Exchange, *, now: int
    ) -> UpstreamTokens:
        found = await self._documents.metadata()
        form = oauth2.exchange_form(tokens, wanted)
        response = await self._endpoint.post(found, form, now=now, url=wanted.token_endpoint)
        body = believed(to_an_exchange(response, self._upstream.quirks))
        return oauth2.read_tokens(body, now=now, quirks=self._upstream.quirks)[0]

    async def id_jag(self, tokens: UpstreamTokens, wanted: IdJag, *, now: int) -> str:
        form = id_jag.id_jag_form(tokens, wanted, now=now)
        found = await self._documents.metadata()
        response = await self._endpoint.post(found, form, now=now)
        return id_jag.read_id_jag(believed(to_an_exchange(response, self._upstream.quirks)))

    async def redeem_id_jag(self, assertion: str, *, now: int) -> UpstreamTokens:
        found = await self._documents.metadata()
        response = await self._endpoint.post(found, id_jag.redeem_form(assertion), now=now)
        body = believed(to_an_exchange(response, self._upstream.quirks))
        return oauth2.read_tokens(body, now=now, quirks=self._upstream.quirks)[0]

    async def revoke(self, tokens: UpstreamTokens) -> None:
        found = await self._documents.metadata()
        request = self._endpoint.revocation(found, tokens, now=int(self._clock()))
        if request is None:
            return
        response = await self._transport.send(request)
        if not is_done(response, self._upstream.quirks):
            raise UpstreamMisbehaved(f"revocation was answered with {response.status}")

    async def logout_url(self, back: str) -> str | None:
        endpoint = (await self._documents.metadata()).end_session_endpoint
        return None if endpoint is None else oauth2.logout_url(endpoint, self._upstream, back)

    async def read_logout(self, token: str, *, now: int) -> LogoutToken:
        if not self._upstream.id_token:
            raise BadLogoutToken("the provider has no id_tokens, and so no logout tokens")
        found = await self._documents.metadata()
        return await self._documents.verified(
            lambda keys: logout_token.verify(
                token, keys, issuer=found.issuer, client_id=self._upstream.client_id,
                now=now, aliases=self._upstream.quirks.issuer_aliases,
            )
        )  # fmt: skip

    async def check(self) -> None:
        await self._documents.heard()

    async def sends_logouts(self) -> bool:
        """Whether the provider says that it can send logout tokens. Raises `UpstreamError`."""
        found = await self._documents.metadata()
        return self._upstream.id_token and found.backchannel_logout_supported

    async def check_client(self, redirect_uri: str) -> Answer[str]:
        """Whether the provider takes our client_id and credentials (see `to_an_invented_code`).

        Raises `UpstreamError` where it can't be asked.
        """
        login = LoginRequest(
            redirect_uri=redirect_uri,
            state="",
            nonce="",
            code_verifier=secrets.token_urlsafe(32),
        )
        form = oauth2.code_form(secrets.token_urlsafe(32), login, self._upstream)
        found = await self._documents.metadata()
        response = await self._endpoint.post(found, form, now=int(self._clock()))
        return to_an_invented_code(response, self._upstream.quirks)

    async def close(self) -> None:
        await self._transport.close()

    def _of(self, tokens: UpstreamTokens, who: Identity) -> tuple[UpstreamTokens, Identity]:
        """Both, with the tokens bound to the provider that named the user."""
        return replace(tokens, issuer=who.issuer), who
