"""The grant types of a server: those that its settings have."""

from collections.abc import Mapping
from typing import TypeAlias

from mintage.app.core import Core
from mintage.app.devices import device_grant
from mintage.crypto.derivation import purpose_keys
from mintage.crypto.sealing import BoxKey
from mintage.server.direct_tokens import DirectTokens
from mintage.server.grant_type import GrantType
from mintage.server.grant_types.authorization_code import AuthorizationCode
from mintage.server.grant_types.client_credentials import ClientCredentials
from mintage.server.grant_types.jwt_bearer import JwtBearer
from mintage.server.grant_types.refresh_token import RefreshToken
from mintage.server.grant_types.token_exchange import TokenExchange
from mintage.server.subject_tokens import IDENTITY_TYPE, SubjectBox, SubjectTokens
from mintage.settings.load import Config
from mintage.trust.issuer import TrustedIssuer
from mintage.trust.keys import IssuerKeys
from mintage.values import RandomBytes

Trusted: TypeAlias = Mapping[str, tuple[TrustedIssuer, IssuerKeys]]
"""The issuers whose assertions are accepted, by their URLs, with their keys."""


def grant_types(core: Core, trusted: Trusted) -> list[GrantType]:
    """What ``/token`` accepts. `GrantTypesSection.enabled` has the same, for the metadata."""
    found: list[GrantType] = [*_of_logins(core), *device_grant(core)]
    section = core.config.grant_types
    if section.token_exchange is not None:
        found.append(_token_exchange(core, section.token_exchange.lifetime))
    direct = DirectTokens(site=core.site, vault=core.vault, tokens=core.tokens, emit=core.emit)
    if section.client_credentials is not None:
        found.append(
            ClientCredentials(
                direct=direct,
                clock=core.clock,
                lifetime=section.client_credentials.lifetime,
                limit=core.limits.machines.check,
            )
        )
    if section.jwt_bearer is not None:
        found.append(
            JwtBearer(
                direct=direct,
                issuers=trusted,
                clock=core.clock,
                lifetime=section.jwt_bearer.lifetime,
                allow=core.config.allow,
                denied=core.denials.denied.covers,
                limit=core.limits.machines.check,
            )
        )
    return found


def _of_logins(core: Core) -> list[GrantType]:
    if not core.site.logins:
        return []
    code = AuthorizationCode(site=core.site, vault=core.vault, tokens=core.tokens, emit=core.emit)
    refresh = RefreshToken(
        site=core.site,
        vault=core.vault,
        tokens=core.tokens,
        emit=core.emit,
        limit=core.limits.refreshes.check,
    )
    return [code, refresh]


def _token_exchange(core: Core, seconds: int) -> TokenExchange:
    keys = core.config.signing_keys
    subjects = SubjectTokens(
        issuer=core.site.issuer,
        tokens=core.tokens,
        box=subject_box(core.config, core.random_bytes),
        pins={key.header(IDENTITY_TYPE).decode(): key.verifier for key in keys},
        clock=core.clock,
    )
    return TokenExchange(
        site=core.site,
        vault=core.vault,
        tokens=core.tokens,
        subjects=subjects,
        clock=core.clock,
        seconds=seconds,
        denied=core.denials.denied.covers,
        provider_of=core.lasting.providers.name_of,
        emit=core.emit,
    )


def subject_box(config: Config, random_bytes: RandomBytes) -> SubjectBox:
    """Makes signed identities of the gateway subject tokens, and reads them."""
    return SubjectBox(tuple(map(BoxKey, purpose_keys(config.secrets, "subject"))), random_bytes)
