"""``grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer`` (RFC 7523 §2.1).

The assertion of a trusted issuer takes the place of a login. It is an ID-JAG, with which a client
acts for a user of an enterprise, or that of a workload, which acts for itself and needs no client.
"""

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from typing import ClassVar

from mintage.clients.client import JWT_BEARER, Client
from mintage.concurrency.rate_limits import no_limit
from mintage.errors import (
    HalfKnown,
    InvalidClient,
    InvalidGrant,
    InvalidRequest,
    InvalidScope,
    NotAdmitted,
    OAuthError,
    UnauthorizedClient,
)
from mintage.grant_tokens import TokenResponse
from mintage.grants.admission import AllowRule, admit
from mintage.grants.machines import workload_client, workload_identity
from mintage.grants.states import Consent
from mintage.partly_shown import PartlyShown
from mintage.server.direct_tokens import DirectTokens, target_of
from mintage.server.grant_type import TEXT, Members, Parameters, TokenRequest
from mintage.server.requests import asked_scopes, named_resource
from mintage.site.resource import Resource
from mintage.site.site import Site
from mintage.trust import id_jag, workloads
from mintage.trust.assertions import Assertion, BadAssertion, claimed_issuer
from mintage.trust.id_jag import IdJag
from mintage.trust.issuer import Purpose, TrustedIssuer, WorkloadRule
from mintage.trust.keys import IssuerKeys
from mintage.values import ClientId, Clock, Scopes
from mintage.vault.direct_grants import Once
from mintage.web.forms import Form, one


class AssertionRequest(PartlyShown, frozen=True, kw_only=True):
    """A token request with an assertion (RFC 7523 §2.1). *scopes*: empty for all possible ones."""

    not_shown = ("assertion",)

    assertion: str
    scopes: Scopes
    resource: str | None

    @classmethod
    def parse(cls, form: Form, site: Site) -> "AssertionRequest":
        """Raises `InvalidRequest`, `InvalidScope`, `InvalidTarget`."""
        asked = asked_scopes(form) or ()
        return cls(
            assertion=one(form, "assertion"),
            scopes=tuple(scope for scope in asked if scope != "offline_access"),
            resource=named_resource(form, site),
        )


class JwtBearer(PartlyShown, frozen=True, kw_only=True):
    """*issuers*: those that are trusted, by their URLs, with their keys. *lifetime*: in seconds.

    *allow*: which users may log in. *denied*: the clients that an operator has denied. *limit*
    counts the tokens of each user with a client, and of each workload.
    """

    not_shown = ("allow",)

    direct: DirectTokens
    issuers: Mapping[str, tuple[TrustedIssuer, IssuerKeys]]
    clock: Clock
    lifetime: int
    allow: Sequence[AllowRule] = ()
    denied: Callable[[ClientId], bool] = lambda _: False
    limit: Callable[[Hashable], None] = no_limit

    name: ClassVar[str] = JWT_BEARER
    parameters: ClassVar = Parameters(
        needed={"assertion": TEXT},
        others={"scope": TEXT, "resource": TEXT},
    )

    @staticmethod
    def metadata(_: str, assertions: Collection[Purpose], /) -> Members:
        """draft-ietf-oauth-identity-assertion-authz-grant-04 §7.2."""
        if "id_jag" not in assertions:
            return {}
        return {"authorization_grant_profiles_supported": [id_jag.PROFILE]}

    async def concerns(self, form: Form, client: Client) -> bool:
        """Whether the ID-JAG is for *client*: its provider has let it act for a user."""
        try:
            issuer, assertion = await self._verified(one(form, "assertion"))
            id_jag.read(assertion, issuer, client.client_id)
        except BadAssertion:
            return False
        return issuer.purpose == "id_jag"

    async def issue(self, request: TokenRequest) -> TokenResponse:
        """A token for the user of an ID-JAG, for the client that has authenticated."""
        client = request.client
        if client.auth_method == "none":
            raise UnauthorizedClient(
                "an ID-JAG is for a client that authenticates: use one with a secret or a key"
            )
        asked = AssertionRequest.parse(request.form, self.direct.site)
        issuer, assertion = await self._verified(asked.assertion)
        if issuer.purpose != "id_jag":
            raise InvalidRequest(
                "a workload sends its assertion alone: leave client_id and credentials out"
            )
        jag = id_jag.read(assertion, issuer, client.client_id)
        if jag.jkt is not None and jag.jkt != request.jkt:
            raise InvalidGrant(
                "the ID-JAG is bound to a key: send a DPoP proof with that key",
                reason="no proof with the key of the ID-JAG's cnf",
            )
        target = jag_target(jag, issuer, asked.resource, self.direct.site)
        scopes = jag_scopes(jag, issuer, asked.scopes, client, target)
        check_user(self.allow, jag)
        self.limit((client.client_id, issuer.name, jag.who.subject))
        now = int(self.clock())
        login = Consent(
            client_id=client.client_id,
            resource=target.identifier,
            scopes=scopes,
            identity=jag.who,
            created_at=now,
        )
        return await self.direct.issue(
            login,
            client,
            grant_type=self.name,
            ends_at=now + self.lifetime,
            jkt=request.jkt,
            once=_once(issuer, jag.jti, jag.forget_at),
            asserted_at=min(jag.issued_at, now),
            source=request.source,
        )

    async def issue_without_client(
        self, form: Form, source: str | None, jkt: str | None
    ) -> TokenResponse:
        """A token for a workload: the rule that fits it is its client (RFC 7521 §4.1)."""
        asked = AssertionRequest.parse(form, self.direct.site)
        issuer, assertion = await self._verified(asked.assertion)
        if issuer.purpose != "workload":
            raise InvalidClient("an ID-JAG is for one client: authenticate as that client")
        rule, target = workload_target(issuer, assertion, asked.resource, self.direct.site)
        client = _client_of(issuer, rule)
        if self.denied(client.client_id):
            raise UnauthorizedClient("the operator of this server has denied this workload")
        scopes = workload_scopes(rule, asked.scopes, target)
        self.limit((client.client_id, assertion.subject))
        now = int(self.clock())
        login = Consent(
            client_id=client.client_id,
            resource=target.identifier,
            scopes=scopes,
            identity=workload_identity(
                issuer.issuer,
                issuer.name,
                assertion.subject,
                workloads.told(issuer.rules, assertion.claims),
            ),
            created_at=now,
        )
        once = None
        if issuer.single_use and assertion.jti is not None:
            once = _once(issuer, assertion.jti, assertion.forget_at)
        return await self.direct.issue(
            login,
            client,
            grant_type=self.name,
            ends_at=now + self.lifetime,
            jkt=jkt,
            once=once,
            source=source,
        )

    async def _verified(self, text: str) -> tuple[TrustedIssuer, Assertion]:
        known = self.issuers.get(claimed_issuer(text))
        if known is None:
            raise BadAssertion("the issuer of the assertion is not trusted here")
        issuer, keys = known
        return issuer, await keys.verified(text, issuer, now=self.clock())


def check_user(allow: Sequence[AllowRule], jag: IdJag) -> None:
    """The rules for users hold for those of an enterprise too. Raises `InvalidGrant`."""
    try:
        admit(allow, jag.who)
    except (NotAdmitted, HalfKnown) as refusal:
        raise InvalidGrant(
            "this user may not log in here; ask the operator of this server",
            reason=str(refusal),
        ) from None


def jag_target(jag: IdJag, issuer: TrustedIssuer, asked: str | None, site: Site) -> Resource:
    """The resource of the token: one of the ID-JAG's, if it names some (draft §4.4.1).

    Raises `BadAssertion` if the ID-JAG names another server's, or one that the issuer may not give
    access to; `InvalidTarget` if the request does not name one of those that remain.
    """
    allowed = [
        one.path
        for one in site.resources
        if issuer.resources is None or one.path in issuer.resources
    ]
    if not jag.resources:
        return target_of(asked, site, allowed)
    named = [site.resource(url) for url in jag.resources]
    if any(one is None or one.path not in allowed for one in named):
        raise BadAssertion("resource in the ID-JAG is none that its issuer may give access to here")
    return target_of(asked, site, [one.path for one in named if one is not None])


def jag_scopes(
    jag: IdJag, issuer: TrustedIssuer, asked: Scopes, client: Client, target: Resource
) -> Scopes:
    """What was requested and the ID-JAG has, as far as issuer and client may have it."""
    given = issuer.default_scopes if jag.scopes is None else jag.scopes
    here = tuple(scope for scope in given if scope in target.all_scopes)
    if jag.scopes and not here:
        raise BadAssertion("scope in the ID-JAG has no scope of the resource")
    offered = tuple(
        scope
        for scope in here
        if (issuer.scopes is None or scope in issuer.scopes)
        and (client.scopes is None or scope in client.scopes)
    )
    return _narrowed(asked, offered, target)


def workload_target(
    issuer: TrustedIssuer, assertion: Assertion, asked: str | None, site: Site
) -> tuple[WorkloadRule, Resource]:
    """The first rule that fits the workload and has the resource that it asks for."""
    fitting = list(workloads.matching(issuer.rules, assertion.claims))
    if not fitting:
        raise BadAssertion("no rule lets this workload have a token")
    target = target_of(asked, site, {path for rule in fitting for path in rule.resources})
    return next(rule for rule in fitting if target.path in rule.resources), target


def workload_scopes(rule: WorkloadRule, asked: Scopes, target: Resource) -> Scopes:
    """What was requested and the rule has."""
    return _narrowed(asked, tuple(s for s in rule.scopes if s in target.all_scopes), target)


def _narrowed(asked: Scopes, offered: Scopes, target: Resource) -> Scopes:
    """*offered*, or those of it that the request names (RFC 6749 §3.3). Raises `InvalidScope`."""
    granted = tuple(scope for scope in asked if scope in offered) if asked else offered
    if not granted and (asked or target.scopes):
        raise _no_scope(offered)
    return granted


def _no_scope(offered: Scopes) -> OAuthError:
    possible = " ".join(offered) or "none"
    return InvalidScope(f"the assertion gives no scope that was asked for; it gives: {possible}")


def _once(issuer: TrustedIssuer, jti: str, until: int) -> Once:
    return Once(f"assertion\0{issuer.issuer}\0{jti}".encode(), until)


def _client_of(issuer: TrustedIssuer, rule: WorkloadRule) -> Client:
    """The client that *rule* is."""
    return Client(
        client_id=workload_client(issuer.name, rule.name),
        name=f"{issuer.name}: {rule.name}",
        redirect_uris=(),
        auth_method="none",
        grant_types=(JWT_BEARER,),
        scopes=rule.scopes,
        vouched=True,
        resources=rule.resources,
    )
