"""Who the user is, as the provider says: by its id_token, at userinfo, or by other lookups."""

from http import HTTPStatus
from typing import Any

from mintage.errors import UpstreamMisbehaved
from mintage.grants.states import Identity, UpstreamTokens
from mintage.upstream import id_token, identity, user
from mintage.upstream.answers import (
    Answer,
    No,
    Part,
    Yes,
    believed,
    to_a_lookup,
    to_does_it_hold,
    to_introspection,
    to_userinfo,
)
from mintage.upstream.discovery import Documents, Metadata
from mintage.upstream.identity import is_text
from mintage.upstream.preset import Lookup
from mintage.upstream.protocol import HttpResponse, Transport
from mintage.upstream.token_endpoint import TokenEndpoint
from mintage.upstream.upstream import Upstream


class Userinfo:
    """Asks the provider *upstream* about users, with their tokens."""

    def __init__(
        self,
        upstream: Upstream,
        transport: Transport,
        documents: Documents,
        endpoint: TokenEndpoint,
    ) -> None:
        self._upstream = upstream
        self._transport = transport
        self._documents = documents
        self._endpoint = endpoint

    async def who_now(
        self,
        found: Metadata,
        tokens: UpstreamTokens,
        signed: object,
        told: HttpResponse | None,
        *,
        now: int,
    ) -> Identity | None:
        """The user by a new id_token, else by userinfo or the lookups; None if there is none.

        *signed*: the new id_token. *told*: the answer to the first question, if it was asked now.
        """
        upstream = self._upstream
        if not upstream.id_token:
            return await self.by_lookups(found, tokens, told, now=now)
        if signed is not None:
            claims = await self.verify(signed, None, tokens, now)
            return await self.by_id_token(found, tokens, claims, now=now)
        if found.userinfo_endpoint is None or upstream.quirks.userinfo == "never":
            return None
        userinfo = await self._userinfo(found, found.userinfo_endpoint, tokens, told, now=now)
        if not is_text(userinfo.get("sub")):
            raise UpstreamMisbehaved("userinfo does not say who it is about")
        claims = {"iss": found.issuer, "sub": userinfo["sub"]}
        return self._named(identity.from_claims(claims, userinfo, upstream.identity))

    async def look_again(
        self, found: Metadata, tokens: UpstreamTokens, *, now: int
    ) -> Answer[HttpResponse | None]:
        """Whether *tokens* are still valid; and the user, if that was the question."""
        if tokens.ends_at is not None and now >= tokens.ends_at:
            return No("the token has ended")
        endpoint = self._upstream.endpoints.introspection
        if endpoint is not None:
            form = {"token": tokens.access_token, "token_type_hint": "access_token"}
            response = await self._endpoint.post(found, form, now=now, url=endpoint)
            live = to_introspection(response, now=now)
            return Yes(None) if isinstance(live, Yes) else live
        request = user.first_question(self._upstream, found.userinfo_endpoint, tokens)
        if request is None:
            return Yes(None)
        response = await self._transport.send(request)
        answer = to_does_it_hold(response, self._upstream.quirks, now=now)
        return Yes(answer.value) if isinstance(answer, Yes) else answer

    async def by_lookups(
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

    async def by_id_token(
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
        return await self._documents.verified(
            lambda keys: id_token.verify_userinfo(
                token, keys, issuer=found.issuer, client_id=self._upstream.client_id,
                now=now, aliases=quirks.issuer_aliases,
            )
        )  # fmt: skip

    def _named(self, who: Identity) -> Identity:
        return identity.vouched(who) if self._upstream.quirks.emails_are_verified else who

    async def verify(
        self, token: object, nonce: str | None, tokens: UpstreamTokens, now: int
    ) -> dict[str, Any]:
        """The id_token's claims."""
        found = await self._documents.metadata()
        return await self._documents.verified(
            lambda keys: id_token.verify(
                token, keys, issuer=found.issuer, client_id=self._upstream.client_id,
                nonce=nonce, access_token=tokens.access_token, now=now,
                aliases=self._upstream.quirks.issuer_aliases,
            )
        )  # fmt: skip
