"""What an operator says about the identity provider."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mintage.upstream.json_paths import Pick
from mintage.upstream.preset import AuthMethod, Endpoints
from mintage.values import Scopes, Secret

RECHECK_SECONDS = 3600


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """*issuer*: None where the preset knows it. *client_secret*: None for a public client.

    *client_key*: a private key (PEM or JWK), for ``private_key_jwt``. *parameters*: the
    preset's (tenant, domain, …). *endpoints*: over what the preset or discovery says.
    *resource*: sent upstream (RFC 8707) only if it is given. *extra*: parameters of every
    login. *claims*: names of the identity, by where they stand. *recheck_seconds*: how long
    a token that never ends is trusted unasked; 0: for ever.

    *more_scopes*: what to ask it for on top, by scope of ours. *title*: its name on pages.

    *discovery_url*: its document, if that is not below *issuer*. *plain*: its endpoints may be
    http URLs. *userinfo*: whether it is asked there; None: as the preset has it.
    *asks_without_refresh_token*: whether a token that can't be renewed is asked about until its
    end, or trusted until then. *former_issuers*: what it was called before; such logins stay.

    Of several: *name* is in addresses and subjects, *domains* are those of its users' e-mail
    addresses. *legacy_default*: logins from before there were others are its.
    """

    preset: str
    client_id: str
    scopes: tuple[str, ...]
    issuer: str | None = None
    client_secret: Secret | None = field(default=None, repr=False)
    client_key: Secret | None = field(default=None, repr=False)
    auth_method: AuthMethod | None = None
    pkce: bool | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    endpoints: Endpoints = field(default_factory=Endpoints)
    resource: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)
    claims: Mapping[str, Pick] = field(default_factory=dict)
    recheck_seconds: int = RECHECK_SECONDS
    name: str = ""
    title: str | None = None
    domains: frozenset[str] = frozenset()
    legacy_default: bool = True
    more_scopes: Mapping[str, Scopes] = field(default_factory=dict)
    discovery_url: str | None = None
    plain: bool = False
    userinfo: bool | None = None
    emails_are_verified: bool | None = None
    asks_without_refresh_token: bool = True
    former_issuers: tuple[str, ...] = ()

    @property
    def callback(self) -> str:
        """Where its logins come back to, below our issuer."""
        return "/callback" if self.legacy_default else f"/callback/{self.name}"
