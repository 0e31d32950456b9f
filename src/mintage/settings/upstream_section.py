"""The keys of ``[upstream]`` in ``mintage.toml``."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from mintage.upstream.preset import AuthMethod, Endpoints
from mintage.upstream.upstream import RECHECK_SECONDS

_MAX_RECHECK: Final = 30 * 86400


class UpstreamSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[upstream]``: an identity provider. Leave out keys that the preset has a value for."""

    client_id: str
    preset: str = "oidc"
    issuer: str | None = None
    client_secret: str | None = None
    client_key: str | None = None
    auth_method: AuthMethod | None = None
    scopes: tuple[str, ...] | None = None
    tenant: str | None = None
    domain: str | None = None
    api: str | None = None
    realm: str | None = None
    region: str | None = None
    user_pool: str | None = None
    authorization_endpoint: str | None = None
    token_endpoint: str | None = None
    userinfo_endpoint: str | None = None
    revocation_endpoint: str | None = None
    introspection_endpoint: str | None = None
    jwks_uri: str | None = None
    resource: str | None = None
    parameters: Mapping[str, str] = {}
    claims: Mapping[str, str] = {}
    discovery_url: str | None = None
    http_to_the_provider_stays_in_a_trusted_network: bool = False
    userinfo: bool | None = None
    emails_are_verified: bool | None = None
    without_refresh_token: Literal["ask", "end"] = "ask"  # noqa: S105
    returns_after_logout: bool = False
    former_issuers: tuple[str, ...] = ()
    pkce: bool | None = None
    recheck_seconds: Annotated[int, Meta(ge=0, le=_MAX_RECHECK)] = RECHECK_SECONDS
    name: str | None = None
    title: str | None = None
    domains: tuple[str, ...] = ()
    more_scopes: dict[str, tuple[str, ...]] = {}
    legacy_default: bool = False

    @property
    def short_name(self) -> str:
        """Its name in URLs and subjects."""
        return self.preset if self.name is None else self.name

    @property
    def given_parameters(self) -> dict[str, str]:
        """Those of the preset's parameters that are set."""
        return self._given({name: name for name in PARAMETERS})

    @property
    def given_endpoints(self) -> Endpoints:
        return Endpoints(**self._given(ENDPOINTS))

    def _given(self, names: Mapping[str, str]) -> dict[str, str]:
        values = {name: getattr(self, key) for name, key in names.items()}
        return {name: value for name, value in values.items() if value is not None}


PARAMETERS: Final = ("tenant", "domain", "api", "realm", "region", "user_pool")
ENDPOINTS: Final = {
    "authorization": "authorization_endpoint",
    "tokens": "token_endpoint",
    "userinfo": "userinfo_endpoint",
    "revocation": "revocation_endpoint",
    "introspection": "introspection_endpoint",
    "jwks": "jwks_uri",
}  # fmt: skip
