"""The keys of ``[upstream]`` in ``mintage.toml``."""

from collections.abc import Mapping
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from mintage.upstream.preset import AuthMethod, Endpoints
from mintage.upstream.upstream import RECHECK_SECONDS

_MAX_RECHECK: Final = 30 * 86400


class UpstreamSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[upstream]``: an identity provider. Leave out keys that the preset has a value for.

    [The providers](how-to/providers/index.md) have a page each.
    [Several](how-to/log-in-at-several-providers.md) are each an ``[[upstream]]``. A [server for
    machines only](how-to/let-a-headless-agent-in.md#a-server-for-machines-only) has none.
    """

    client_id: str
    """Mintage's client id at the provider."""
    preset: str = "oidc"
    """The kind of [provider](how-to/providers/index.md)."""
    issuer: str | None = None
    """The provider's issuer, exactly as in its discovery document.

    Default: the preset's
    """
    client_secret: str | None = None
    """[Where it is](how-to/give-it-its-secrets.md): `env:NAME`, `file:PATH`, `credential:NAME` or
    `command:PROGRAM ARGUMENTS`. Leave it out for a public client.
    """
    client_key: str | None = None
    """Where a private key (PEM or JWK) for `private_key_jwt` is, as for `client_secret`. A
    certificate in the same PEM is named by its thumbprint.
    """
    auth_method: AuthMethod | None = None
    """How Mintage authenticates at the provider's token endpoint.

    Default: as discovery says
    """
    scopes: tuple[str, ...] | None = None
    """The scopes that Mintage requests from the provider.

    Default: the preset's
    """
    tenant: str | None = None
    """The tenant: for `entra`.

    Default: the preset's
    """
    domain: str | None = None
    """The provider's host: for `auth0`, `clerk`, `keycloak`, `okta` and `workos`, and for your
    own GitHub, GitLab or another Entra cloud.

    Default: the preset's
    """
    api: str | None = None
    """The host of GitHub's API, for your own GitHub.

    Default: the preset's
    """
    realm: str | None = None
    """The realm: for `keycloak`.

    Default: the preset's
    """
    region: str | None = None
    """The region of AWS: for `cognito`.

    Default: the preset's
    """
    user_pool: str | None = None
    """The id of the user pool: for `cognito`.

    Default: the preset's
    """
    authorization_endpoint: str | None = None
    """Overrides the preset or discovery. With this and `token_endpoint` there is no discovery.

    Default: discovery's
    """
    token_endpoint: str | None = None
    """Overrides the preset or discovery.

    Default: discovery's
    """
    userinfo_endpoint: str | None = None
    """Overrides the preset or discovery.

    Default: discovery's
    """
    revocation_endpoint: str | None = None
    """Overrides the preset or discovery (RFC 7009).

    Default: discovery's
    """
    introspection_endpoint: str | None = None
    """The endpoint to ask about tokens that never expire (RFC 7662)."""
    jwks_uri: str | None = None
    """Overrides the preset or discovery.

    Default: discovery's
    """
    resource: str | None = None
    """Sent as `resource` (RFC 8707). Many providers refuse it, and at others it changes the
    audience of the upstream token.
    """
    parameters: Mapping[str, str] = {}
    """Names and values to send along with every login."""
    claims: Mapping[str, str] = {}
    """A JSON pointer (RFC 6901) for each of `subject`, `email`, `email_verified`, `name`,
    `preferred_username`, `groups`, `organizations` whose place differs.

    Default: the preset's
    """
    discovery_url: str | None = None
    """The URL of the discovery document, for a provider that has another name inside your network.

    Default: below `issuer`
    """
    http_to_the_provider_stays_in_a_trusted_network: bool = False
    """`true`: endpoints that only Mintage calls may be http URLs on other hosts. Tokens then cross
    that network unencrypted.
    """
    userinfo: bool | None = None
    """`true`: ask userinfo at each login. `false`: never ask it.

    Default: the preset's
    """
    emails_are_verified: bool | None = None
    """`true`: you know that this provider verifies every address, though it has no `email_verified`
    claim.

    Default: the preset's
    """
    without_refresh_token: Literal["ask", "end"] = "ask"  # noqa: S105
    """For a token that has an end and no refresh token. `ask`: Mintage asks about it every
    `recheck_seconds`. `end`: Mintage trusts it. The login ends with the token either way.
    """
    returns_after_logout: bool = False
    """`true`: you registered `ISSUER/account` (and `ISSUER/mintage/sign-out`) as post-logout
    redirect URIs at the provider, which [sends browsers back
    there](how-to/log-out-at-the-provider.md#sign-out-at-the-provider-too).
    """
    former_issuers: tuple[str, ...] = ()
    """Issuers that this provider had before. Logins from then stay valid."""
    pkce: bool | None = None
    """`false` for a provider that refuses it (RFC 7636); needs a secret or a key.

    Default: the preset's
    """
    recheck_seconds: Annotated[int, Meta(ge=0, le=_MAX_RECHECK)] = RECHECK_SECONDS
    """For how many seconds Mintage trusts a token that can't be renewed before it asks the provider
    again; 0: until it expires.
    """
    name: str | None = None
    """Its name in addresses and subjects, of `a-z`, `0-9` and `-`.

    Default: the preset's name
    """
    title: str | None = None
    """Its name on the consent page.

    Default: the preset's
    """
    domains: tuple[str, ...] = ()
    """Domains of e-mail addresses: a `login_hint` in one of them preselects this provider."""
    more_scopes: dict[str, tuple[str, ...]] = {}
    """Additional scopes to request from it, by the scope that Mintage grants.

    Default: `scopes.upstream`
    """
    legacy_default: bool = False
    """`true` on the one provider that you used before you added others: it keeps its callback,
    `/callback`, and its logins.
    """

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
