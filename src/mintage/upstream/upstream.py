"""The identity provider as one value, with nothing left to look up or fill in. Pure."""

from collections.abc import Mapping

import msgspec

from mintage.partly_shown import PartlyShown
from mintage.upstream.authentication import SigningKey
from mintage.upstream.id_token import is_issuer
from mintage.upstream.preset import AuthMethod, Endpoints, IdentityMap, Lookup, Quirks
from mintage.values import Scopes, Secret

RECHECK_SECONDS = 3600


class Upstream(PartlyShown, frozen=True, kw_only=True):
    """One identity provider, as the settings describe it.

    *name* is in URLs and subjects, *title* on pages. *names_issuer*: whether *issuer* is the
    provider's own name; otherwise *issuer* is derived from its token endpoint. *client_secret*:
    None for a public client. *client_key*: for ``private_key_jwt``. *auth_method*: as the operator
    set it.

    *scopes*: what each login requests; *more_scopes*: what else, by scope of Mintage. *resource*:
    sent to it (RFC 8707) only if it is set. *extra*: parameters of every login.

    *discovery*: whether it has a document; *discovery_url*: where that is, if not below *issuer*.
    *endpoints*: they replace those of the document. *plain*: they may be http URLs. *id_token*:
    whether an id_token says who the user is; otherwise *lookups* do. *recheck_seconds*: how long a
    token that never ends is used before Mintage asks about it; 0: for ever.
    *asks_without_refresh_token*: whether Mintage also asks about a token that has an end and can't
    be renewed. *former_issuers*: its former names; logins under them continue.

    *keeps_id_token*: whether id_tokens are kept with the other tokens: a resource needs them.

    *returns_after_logout*: whether it sends browsers back after a logout there.

    *public*: whether anyone can create an account there.

    *domains* are those of its users' e-mail addresses. *legacy_default*: logins from the time when
    there was only one provider belong to it.
    """

    not_shown = ("client_secret", "client_key")

    name: str
    title: str
    client_id: str
    issuer: str
    scopes: Scopes
    names_issuer: bool = True
    client_secret: Secret | None = None
    client_key: SigningKey | None = None
    auth_method: AuthMethod | None = None
    more_scopes: Mapping[str, Scopes] = msgspec.field(default_factory=dict)
    resource: str | None = None
    extra: Mapping[str, str] = msgspec.field(default_factory=dict)
    discovery: bool = True
    discovery_url: str | None = None
    endpoints: Endpoints = msgspec.field(default_factory=Endpoints)
    plain: bool = False
    id_token: bool = True
    lookups: tuple[Lookup, ...] = ()
    identity: IdentityMap = msgspec.field(default_factory=IdentityMap)
    quirks: Quirks = msgspec.field(default_factory=Quirks)
    recheck_seconds: int = RECHECK_SECONDS
    asks_without_refresh_token: bool = True
    former_issuers: tuple[str, ...] = ()
    keeps_id_token: bool = False
    returns_after_logout: bool = False
    public: bool = False
    domains: frozenset[str] = frozenset()
    legacy_default: bool = True

    @property
    def callback(self) -> str:
        """The path of its callback, below the issuer."""
        return callback_of(self.name, legacy_default=self.legacy_default)

    def names_of(self, issuer: str) -> tuple[str, ...]:
        """*issuer*, and the other names under which the same provider knows the same users."""
        own = (self.issuer, *self.former_issuers, *self.quirks.issuer_aliases)
        return tuple(dict.fromkeys((issuer, *(own if issuer in own else ()))))

    def issued(self, issuer: str | None) -> bool:
        """Whether it issued tokens of *issuer*, one of its tenants included."""
        template = self.quirks.issuer_template
        own = (self.issuer, *self.former_issuers, *self.quirks.issuer_aliases)
        if issuer is None or issuer in own:
            return True
        return template is not None and self.has_tenants and is_issuer(issuer, template, ())

    @property
    def has_tenants(self) -> bool:
        """Whether its users are of many tenants, each with an issuer of its own."""
        template = self.quirks.issuer_template
        return template is not None and not is_issuer(self.issuer, template, ())


def callback_of(name: str, *, legacy_default: bool) -> str:
    """The path of the callback of the provider *name*, below the issuer."""
    return "/callback" if legacy_default else f"/callback/{name}"
