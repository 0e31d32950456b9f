"""Our client leg at one provider: its data, tied to a transport."""

import contextlib
import logging
import secrets
from typing import Any

from mintage.errors import UpstreamError, UpstreamMisbehaved, UpstreamRefused
from mintage.grant import Identity, UpstreamTokens
from mintage.upstream import id_token, identity, oauth2, user
from mintage.upstream.authentication import Credentials, SigningKey
from mintage.upstream.discovery import Documents, Metadata
from mintage.upstream.preset import AuthMethod
from mintage.upstream.protocol import Exchange, HttpResponse, Judge, LoginRequest, Transport
from mintage.upstream.provider import Provider
from mintage.upstream.revocation import is_done, revocation_request
from mintage.upstream.settings import UpstreamSettings
from mintage.values import Clock

log = logging.getLogger("mintage.upstream")


class ProviderClient:
    """An `Upstream`: whatever differs between providers is in *provider*."""

    def __init__(
        self,
        settings: UpstreamSettings,
        provider: Provider,
        transport: Transport,
        clock: Clock,
        steady: Clock,
    ) -> None:
        self._settings = settings
        self._provider = provider
        self._transport = transport
        self._clock = clock
        self._documents = Documents(provider, transport, steady)
        self._key = None if settings.client_key is None else SigningKey.read(settings.client_key)

    @property
    def name(self) -> str:
        return self._provider.name

    async def authorization_url(self, login: LoginRequest) -> str:
        found = await self._documents.metadata()
        return oauth2.authorization_url(
            found.authorization_endpoint,
            self._settings.client_id,
            login,
            self._provider,
            nonce=self._provider.id_token,
        )

    async def check_issuer(self, iss: str | None) -> None:
        if not self._provider.discovery and self._settings.issuer is None:
            return  # nobody has told what it calls itself
        found = await self._documents.metadata()
        if iss is None:
            if found.authorization_response_iss_parameter_supported:
                raise UpstreamMisbehaved("the callback has no iss, though the provider promises it")
        elif not id_token.is_issuer(iss, found.issuer, self._provider.quirks.issuer_aliases):
            raise UpstreamMisbehaved("the callback is from another issuer")

    async def redeem(
        self, code: str, login: LoginRequest, *, now: int
    ) -> tuple[UpstreamTokens, Identity]:
        found = await self._documents.metadata()
        form = oauth2.code_form(code, login, self._provider)
        tokens, body = self._read(await self._post(found, form, now=now), now=now)
        if not self._provider.id_token:
            answers = await self._asked(found, tokens)
            who = identity.from_answers(
                answers, self._provider.identity, issuer=self._provider.issuer
            )
            return tokens, who
        claims = await self._verify(body.get("id_token"), login.nonce, tokens, now)
        if login.max_age is not None and self._provider.quirks.max_age:
            id_token.check_login_time(claims, login.max_age, now=now)
        userinfo = await self._userinfo(found, tokens, claims)
        return tokens, identity.from_claims(claims, userinfo, self._provider.identity)

    async def refresh(
        self, tokens: UpstreamTokens, *, now: int, judge: Judge | None = None
    ) -> UpstreamTokens:
        found = await self._documents.metadata()
        if tokens.recheck:
            still = await self._recheck(found, tokens, now=now)
            if still is not None:
                await self._judge(found, still, None, judge, now=now)
                return still
        if tokens.refresh_token is None:
            raise UpstreamRefused("the provider does not know the token any more")
        form = oauth2.refresh_form(tokens.refresh_token, self._provider)
        new, body = self._read(await self._post(found, form, now=now), now=now, before=tokens)
        await self._judge(found, new, body.get("id_token"), judge, now=now)
        return new

    async def _judge(
        self,
        found: Metadata,
        tokens: UpstreamTokens,
        id_token: object,
        judge: Judge | None,
        *,
        now: int,
    ) -> None:
        """Show *judge* who it is by now. Where nobody can be asked, that is no reason to refuse."""
        if judge is None:
            return
        try:
            who = await self._who_now(found, tokens, id_token, now=now)
        except UpstreamError as error:
            log.warning("who a user is by now could not be asked: %s", error)
            return
        if who is None:
            return
        complete = id_token is not None or not self._provider.id_token
        try:
            judge(who, complete)
        except UpstreamError:
            with contextlib.suppress(UpstreamError):
                await self.revoke(tokens)
            raise

    async def _who_now(
        self, found: Metadata, tokens: UpstreamTokens, id_token: object, *, now: int
    ) -> Identity | None:
        """By a new id_token, else by userinfo or the lookups; None where there is none of them."""
        provider = self._provider
        if not provider.id_token:
            answers = await self._asked(found, tokens)
            return identity.from_answers(answers, provider.identity, issuer=provider.issuer)
        if id_token is not None:
            claims = await self._verify(id_token, None, tokens, now)
            userinfo = await self._userinfo(found, tokens, claims)
            return identity.from_claims(claims, userinfo, provider.identity)
        if found.userinfo_endpoint is None or provider.quirks.userinfo == "never":
            return None
        request = user.bearer_request(found.userinfo_endpoint, tokens, provider.quirks.api_headers)
        userinfo = oauth2.read_json(await self._transport.send(request))
        return (
            identity.from_claims({"iss": found.issuer, **userinfo}, {}, provider.identity)
            if "sub" in userinfo
            else None
        )

    async def exchange(
        self, tokens: UpstreamTokens, wanted: Exchange, *, now: int
    ) -> UpstreamTokens:
        found = await self._documents.metadata()
        form = oauth2.exchange_form(tokens, wanted)
        response = await self._post(found, form, now=now, url=wanted.token_endpoint)
        return oauth2.read_exchanged(response, now=now, quirks=self._provider.quirks)

    async def revoke(self, tokens: UpstreamTokens) -> None:
        found = await self._documents.metadata()
        request = revocation_request(
            self._provider,
            found.revocation_endpoint,
            tokens,
            credentials=self._credentials(found),
            audience=found.token_endpoint,
            jti=secrets.token_urlsafe(16),
            now=int(self._clock()),
        )
        if request is None:
            return
        response = await self._transport.send(request)
        if not is_done(response, self._provider.quirks):
            raise UpstreamMisbehaved(f"revocation was answered with {response.status}")

    async def check(self) -> None:
        await self._documents.metadata()

    async def close(self) -> None:
        await self._transport.close()

    def _read(
        self, response: HttpResponse, *, now: int, before: UpstreamTokens | None = None
    ) -> tuple[UpstreamTokens, dict[str, Any]]:
        return oauth2.read_tokens(
            response,
            now=now,
            quirks=self._provider.quirks,
            recheck_seconds=self._settings.recheck_seconds,
            before=before,
        )

    async def _post(
        self, found: Metadata, form: dict[str, str], *, now: int, url: str | None = None
    ) -> HttpResponse:
        request = self._credentials(found).post(
            url or found.token_endpoint,
            form,
            audience=found.token_endpoint,
            jti=secrets.token_urlsafe(16),
            now=now,
        )
        return await self._transport.send(request)

    def _credentials(self, found: Metadata) -> Credentials:
        return Credentials(
            client_id=self._settings.client_id,
            method=self._auth_method(found),
            secret=self._settings.client_secret,
            key=self._key,
        )

    def _auth_method(self, found: Metadata) -> AuthMethod:
        """As the operator or the preset says; else what we have and discovery names."""
        settings, supported = self._settings, found.token_endpoint_auth_methods_supported
        if settings.auth_method is not None:
            return settings.auth_method
        if settings.client_secret is None:
            return "none" if settings.client_key is None else "private_key_jwt"
        if self._provider.quirks.auth_method is not None:
            return self._provider.quirks.auth_method
        if "client_secret_basic" not in supported and "client_secret_post" in supported:
            return "client_secret_post"
        return "client_secret_basic"

    async def _recheck(
        self, found: Metadata, tokens: UpstreamTokens, *, now: int
    ) -> UpstreamTokens | None:
        """*tokens*, good for a while again; None if the provider knows them no more."""
        endpoint = self._provider.endpoints.introspection
        if endpoint is not None:
            form = {"token": tokens.access_token, "token_type_hint": "access_token"}
            live = user.read_introspection(await self._post(found, form, now=now, url=endpoint))
        else:
            request = user.first_question(self._provider, found.userinfo_endpoint, tokens)
            live = request is None or user.read_liveness(
                await self._transport.send(request), self._provider.quirks
            )
        return user.good_until(tokens, now + self._settings.recheck_seconds) if live else None

    async def _asked(self, found: Metadata, tokens: UpstreamTokens) -> dict[str, Any]:
        """Who the user is, by what the lookups find."""
        answers: dict[str, Any] = {}
        for lookup in self._provider.lookups:
            if not user.is_asked(lookup, tokens, self._provider.scopes):
                continue
            body: Any = None
            for page in range(1, user.MAX_PAGES + 1):
                request = user.question(
                    lookup, self._provider, found.userinfo_endpoint, tokens, page=page
                )
                response = await self._transport.send(request)
                part = user.read_answer(response, lookup, self._provider.quirks)
                body = part if body is None else body + part
                if not user.goes_on(part, lookup):
                    break
            answers |= {lookup.into: body} if lookup.into else body
        return answers

    async def _userinfo(
        self, found: Metadata, tokens: UpstreamTokens, claims: dict[str, Any]
    ) -> dict[str, Any]:
        """What the userinfo endpoint adds to the id_token, where it is asked at all."""
        wish = self._provider.quirks.userinfo
        missing = "email" in self._provider.scopes and "email" not in claims
        if found.userinfo_endpoint is None or wish == "never" or (wish != "always" and not missing):
            return {}
        request = user.bearer_request(
            found.userinfo_endpoint, tokens, self._provider.quirks.api_headers
        )
        response = await self._transport.send(request)
        return oauth2.read_json(response) if response.status == 200 else {}  # noqa: PLR2004

    async def _verify(
        self, token: object, nonce: str | None, tokens: UpstreamTokens, now: int
    ) -> dict[str, Any]:
        """The id_token's claims; the keys are fetched anew, once, where none of them fits."""
        found = await self._documents.metadata()
        keys, fresh = await self._documents.keys(newer_than=None)
        while True:
            try:
                return id_token.verify(
                    token, keys, issuer=found.issuer, client_id=self._settings.client_id,
                    nonce=nonce, access_token=tokens.access_token, now=now,
                    aliases=self._provider.quirks.issuer_aliases,
                )  # fmt: skip
            except id_token.UnknownKid:
                if fresh:
                    raise
            keys, _ = await self._documents.keys(newer_than=keys)
            fresh = True
