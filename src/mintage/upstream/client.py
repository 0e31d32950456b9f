"""Mintage's client for one identity provider: the provider's data, and a transport."""

import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from http import HTTPStatus
from typing import Any, TypeVar

from joserfc import jwk
from msgspec.structs import replace

from mintage.errors import UpstreamError, UpstreamMisbehaved, UpstreamRefused
from mintage.grants.lease import Renewed
from mintage.grants.states import Identity, UpstreamTokens
from mintage.upstream import id_jag, id_token, identity, logout_token, oauth2, user
from mintage.upstream.answers import (
    Answer,
    No,
    Part,
    Unknown,
    Yes,
    believed,
    to_a_lookup,
    to_a_token_request,
    to_an_exchange,
    to_an_invented_code,
    to_does_it_hold,
    to_introspection,
    to_userinfo,
)
from mintage.upstream.authentication import ClientCredentials
from mintage.upstream.discovery import Documents, Metadata
from mintage.upstream.identity import is_text
from mintage.upstream.logout_token import BadLogoutToken, LogoutToken
from mintage.upstream.oauth2 import Asking
from mintage.upstream.preset import AuthMethod, Lookup
from mintage.upstream.protocol import (
    Exchange,
    HttpResponse,
    IdJag,
    Judge,
    LoginRequest,
    Transport,
)
from mintage.upstream.revocation import is_done, revocation_request
from mintage.upstream.upstream import Upstream
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
        self._authentication: tuple[Metadata, ClientCredentials] | None = None

    async def authorization_url(self, login: LoginRequest) -> str:
        found = await self._documents.metadata()
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
        tokens, body = await self._tokens(found, form, now=now)
        if not self._upstream.id_token:
            return self._of(tokens, await self._by_lookups(found, tokens, now=now))
        claims = await self._verify(body.get("id_token"), login.nonce, tokens, now)
        tokens = replace(tokens, sid=logout_token.session_id(claims))
        tokens = self._with_id_token(tokens, body.get("id_token"), now=now)
        max_age = login.parameters.max_age
        if max_age is not None and self._upstream.quirks.max_age:
            id_token.check_login_time(claims, max_age, now=now)
        return self._of(tokens, await self._by_id_token(found, tokens, claims, now=now))

    async def refresh(
        self, tokens: UpstreamTokens, *, now: int, judge: Judge | None = None
    ) -> Renewed:
        found = await self._documents.metadata()
        if tokens.recheck:
            match await self._look_again(found, tokens, now=now):
                case Yes(told):
                    still = user.good_until(tokens, now + self._upstream.recheck_seconds)
                    who = partial(self._who_now, found, still, None, told, now=now)
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
        new, body = await self._tokens(found, form, now=now, before=tokens)
        new = replace(new, issuer=tokens.issuer, sid=tokens.sid, id_token=tokens.id_token)
        signed = body.get("id_token") or None
        who = partial(self._who_now, found, new, signed, None, now=now)
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

    async def _who_now(
        self,
        found: Metadata,
        tokens: UpstreamTokens,
        id_token: object,
        told: HttpResponse | None,
        *,
        now: int,
    ) -> Identity | None:
        """The user by a new id_token, else by userinfo or the lookups; None if there is none.

        *told*: the answer to the first question, if it was asked just now.
        """
        upstream = self._upstream
        if not upstream.id_token:
            return await self._by_lookups(found, tokens, told, now=now)
        if id_token is not None:
            claims = await self._verify(id_token, None, tokens, now)
            return await self._by_id_token(found, tokens, claims, now=now)
        if found.userinfo_endpoint is None or upstream.quirks.userinfo == "never":
            return None
        userinfo = await self._userinfo(found, found.userinfo_endpoint, tokens, told, now=now)
        if not is_text(userinfo.get("sub")):
            raise UpstreamMisbehaved("userinfo does not say who it is about")
        claims = {"iss": found.issuer, "sub": userinfo["sub"]}
        return self._named(identity.from_claims(claims, userinfo, upstream.identity))

    async def exchange(
        self, tokens: UpstreamTokens, wanted: Exchange, *, now: int
    ) -> UpstreamTokens:
        found = await self._documents.metadata()
        form = oauth2.exchange_form(tokens, wanted)
        response = await self._post(found, form, now=now, url=wanted.token_endpoint)
        body = believed(to_an_exchange(response, self._upstream.quirks))
        return oauth2.read_tokens(body, now=now, quirks=self._upstream.quirks)[0]

    async def id_jag(self, tokens: UpstreamTokens, wanted: IdJag, *, now: int) -> str:
        form = id_jag.id_jag_form(tokens, wanted, now=now)
        found = await self._documents.metadata()
        response = await self._post(found, form, now=now)
        return id_jag.read_id_jag(believed(to_an_exchange(response, self._upstream.quirks)))

    async def redeem_id_jag(self, assertion: str, *, now: int) -> UpstreamTokens:
        found = await self._documents.metadata()
        response = await self._post(found, id_jag.redeem_form(assertion), now=now)
        body = believed(to_an_exchange(response, self._upstream.quirks))
        return oauth2.read_tokens(body, now=now, quirks=self._upstream.quirks)[0]

    async def revoke(self, tokens: UpstreamTokens) -> None:
        found = await self._documents.metadata()
        credentials = self._credentials(found)
        request = revocation_request(
            self._upstream,
            found.revocation_endpoint,
            tokens,
            credentials=credentials,
            audience=found.token_endpoint,
            jti=_jti(credentials),
            now=int(self._clock()),
        )
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
        return await self._with_keys(
            lambda keys: logout_token.verify(
                token, keys, issuer=found.issuer, client_id=self._upstream.client_id,
                now=now, aliases=self._upstream.quirks.issuer_aliases,
            )
        )  # fmt: skip

    async def check(self) -> None:
        await self._documents.metadata()

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
        response = await self._post(found, form, now=int(self._clock()))
        return to_an_invented_code(response, self._upstream.quirks)

    async def close(self) -> None:
        await self._transport.close()

    async def _tokens(
        self,
        found: Metadata,
        form: dict[str, str],
        *,
        now: int,
        before: UpstreamTokens | None = None,
    ) -> tuple[UpstreamTokens, dict[str, Any]]:
        """(tokens, the whole answer) for *form* at the token endpoint."""
        response = await self._post(found, form, now=now)
        upstream, quirks = self._upstream, self._upstream.quirks
        asking = Asking(upstream.recheck_seconds, upstream.asks_without_refresh_token)
        body = believed(to_a_token_request(response, quirks))
        return oauth2.read_tokens(body, now=now, quirks=quirks, asking=asking, before=before)

    async def _post(
        self, found: Metadata, form: dict[str, str], *, now: int, url: str | None = None
    ) -> HttpResponse:
        credentials = self._credentials(found)
        request = credentials.post(
            url or found.token_endpoint,
            form,
            audience=found.token_endpoint,
            jti=_jti(credentials),
            now=now,
        )
        return await self._transport.send(request)

    def _credentials(self, found: Metadata) -> ClientCredentials:
        if self._authentication is None or self._authentication[0] is not found:
            made = ClientCredentials(
                client_id=self._upstream.client_id,
                method=self._auth_method(found),
                secret=self._upstream.client_secret,
                key=self._upstream.client_key,
            )
            self._authentication = found, made
        return self._authentication[1]

    def _auth_method(self, found: Metadata) -> AuthMethod:
        """As the operator or the preset says; else what the credentials and discovery allow."""
        upstream, supported = self._upstream, found.token_endpoint_auth_methods_supported
        if upstream.auth_method is not None:
            return upstream.auth_method
        if upstream.client_secret is None:
            return "none" if upstream.client_key is None else "private_key_jwt"
        if self._upstream.quirks.auth_method is not None:
            return self._upstream.quirks.auth_method
        if "client_secret_basic" not in supported and "client_secret_post" in supported:
            return "client_secret_post"
        return "client_secret_basic"

    async def _look_again(
        self, found: Metadata, tokens: UpstreamTokens, *, now: int
    ) -> Answer[HttpResponse | None]:
        """Whether *tokens* are still valid; and the user, if that was the question."""
        if tokens.ends_at is not None and now >= tokens.ends_at:
            return No("the token has ended")
        endpoint = self._upstream.endpoints.introspection
        if endpoint is not None:
            form = {"token": tokens.access_token, "token_type_hint": "access_token"}
            response = await self._post(found, form, now=now, url=endpoint)
            live = to_introspection(response, now=now)
            return Yes(None) if isinstance(live, Yes) else live
        request = user.first_question(self._upstream, found.userinfo_endpoint, tokens)
        if request is None:
            return Yes(None)
        response = await self._transport.send(request)
        answer = to_does_it_hold(response, self._upstream.quirks, now=now)
        return Yes(answer.value) if isinstance(answer, Yes) else answer

    async def _by_lookups(
        self,
        found: Metadata,
        tokens: UpstreamTokens,
        told: HttpResponse | None = None,
        *,
        now: int,
    ) -> Identity:
        """The user by the lookups. *told* is the answer to the first of them."""
        upstream = self._upstream
        answers: dict[str, Any] = {}
        half = set()
        for lookup in upstream.lookups:
            if not user.is_asked(lookup, tokens, upstream.scopes):
                continue
            answer = await self._looked_up(lookup, found, tokens, told, now=now)
            told = None
            answers |= {lookup.into: answer.body} if lookup.into else answer.body
            if not answer.whole:
                half.add(lookup.into)
        issuer, where = upstream.issuer, upstream.identity
        return self._named(identity.from_answers(answers, where, issuer=issuer, half=half))

    async def _looked_up(
        self,
        lookup: Lookup,
        found: Metadata,
        tokens: UpstreamTokens,
        told: HttpResponse | None,
        *,
        now: int,
    ) -> Part:
        """All pages of *lookup*, up to the limit."""
        body: Any = None
        whole = True
        for page in range(1, user.MAX_PAGES + 1):
            endpoint = found.userinfo_endpoint
            request = user.question(lookup, self._upstream, endpoint, tokens, page=page)
            response = told if told and page == 1 else await self._transport.send(request)
            part = believed(to_a_lookup(response, lookup, self._upstream.quirks, now=now))
            body = part.body if body is None else body + part.body
            whole = whole and part.whole
            if not user.goes_on(part.body, lookup):
                return Part(body, whole)
        return Part(body, whole=False)

    async def _by_id_token(
        self, found: Metadata, tokens: UpstreamTokens, claims: dict[str, Any], *, now: int
    ) -> Identity:
        """The user by verified *claims* and what the userinfo endpoint adds to them."""
        quirks, endpoint = self._upstream.quirks, found.userinfo_endpoint
        missing = "email" in self._upstream.scopes and "email" not in claims
        userinfo: dict[str, Any] = {}
        if endpoint is not None and (
            quirks.userinfo == "always" or (quirks.userinfo == "for_email" and missing)
        ):
            userinfo = await self._userinfo(found, endpoint, tokens, now=now)
        return self._named(identity.from_claims(claims, userinfo, self._upstream.identity))

    async def _userinfo(
        self,
        found: Metadata,
        endpoint: str,
        tokens: UpstreamTokens,
        told: HttpResponse | None = None,
        *,
        now: int,
    ) -> dict[str, Any]:
        """What the userinfo endpoint says, signed or not."""
        quirks = self._upstream.quirks
        if told is None:
            request = user.bearer_request(endpoint, tokens, quirks.api_headers)
            told = await self._transport.send(request)
        kind = told.headers.get("content-type", "").partition(";")[0].strip().lower()
        if told.status != HTTPStatus.OK or kind != "application/jwt":
            return believed(to_userinfo(told, quirks, now=now))
        token = told.body.decode("ascii", "replace").strip()
        return await self._with_keys(
            lambda keys: id_token.verify_userinfo(
                token, keys, issuer=found.issuer, client_id=self._upstream.client_id,
                now=now, aliases=quirks.issuer_aliases,
            )
        )  # fmt: skip

    def _named(self, who: Identity) -> Identity:
        return identity.vouched(who) if self._upstream.quirks.emails_are_verified else who

    def _of(self, tokens: UpstreamTokens, who: Identity) -> tuple[UpstreamTokens, Identity]:
        """Both, with the tokens bound to the provider that named the user."""
        return replace(tokens, issuer=who.issuer), who

    async def _verify(
        self, token: object, nonce: str | None, tokens: UpstreamTokens, now: int
    ) -> dict[str, Any]:
        """The id_token's claims. If no key fits, the keys are fetched again, once."""
        found = await self._documents.metadata()
        return await self._with_keys(
            lambda keys: id_token.verify(
                token, keys, issuer=found.issuer, client_id=self._upstream.client_id,
                nonce=nonce, access_token=tokens.access_token, now=now,
                aliases=self._upstream.quirks.issuer_aliases,
            )
        )  # fmt: skip

    async def _with_keys(self, verify: Callable[[jwk.KeySet], T]) -> T:
        """What *verify* returns. If no key fits, the keys are fetched again, once."""
        keys, fresh = await self._documents.keys(newer_than=None)
        while True:
            try:
                return verify(keys)
            except id_token.UnknownKid:
                if fresh:
                    raise
            keys, _ = await self._documents.keys(newer_than=keys)
            fresh = True


def _jti(credentials: ClientCredentials) -> str:
    """A name that was never used before, if an assertion needs one."""
    return secrets.token_urlsafe(16) if credentials.signs else ""
