"""The grant types of a server: those that its settings have."""

from collections.abc import Callable, Mapping

from mintage.app.devices import device_grant
from mintage.app.limits import Limits
from mintage.crypto.derivation import purpose_keys
from mintage.crypto.sealing import BoxKey
from mintage.events.event import Emit
from mintage.grant_tokens import Tokens
from mintage.server.direct_tokens import DirectTokens
from mintage.server.grant_type import GrantType
from mintage.server.grant_types.authorization_code import AuthorizationCode
from mintage.server.grant_types.client_credentials import ClientCredentials
from mintage.server.grant_types.jwt_bearer import JwtBearer
from mintage.server.grant_types.refresh_token import RefreshToken
from mintage.server.grant_types.token_exchange import TokenExchange
from mintage.server.subject_tokens import IDENTITY_TYPE, SubjectBox, SubjectTokens
from mintage.settings.load import Config
from mintage.site.site import Site
from mintage.trust.issuer import TrustedIssuer
from mintage.trust.keys import IssuerKeys
from mintage.values import ClientId, Clock, RandomBytes
from mintage.vault.vault import Vault


def grant_types(
    config: Config,
    site: Site,
    *,
    vault: Vault,
    tokens: Tokens,
    limits: Limits,
    clock: Clock,
    steady: Clock,
    random_bytes: RandomBytes,
    trusted: Mapping[str, tuple[TrustedIssuer, IssuerKeys]],
    denied: Callable[[ClientId], bool],
    provider_of: Callable[[str], str | None],
    emit: Emit,
) -> list[GrantType]:
    """What ``/token`` accepts. `GrantTypesSection.on` has the same, for the metadata."""
    accepted: list[GrantType] = [
        AuthorizationCode(site=site, vault=vault, tokens=tokens, emit=emit),
        RefreshToken(
            site=site, vault=vault, tokens=tokens, emit=emit, limit=limits.refreshes.check
        ),
        *device_grant(
            config,
            site,
            vault=vault,
            tokens=tokens,
            clock=clock,
            steady=steady,
            random_bytes=random_bytes,
            emit=emit,
        ),
    ]
    if (exchange := config.grant_types.token_exchange) is not None:
        subjects = SubjectTokens(
            issuer=site.issuer,
            tokens=tokens,
            box=subject_box(config, random_bytes),
            pins={key.header(IDENTITY_TYPE).decode(): key.verifier for key in config.signing_keys},
            clock=clock,
        )
        accepted.append(
            TokenExchange(
                site=site,
                vault=vault,
                tokens=tokens,
                subjects=subjects,
                clock=clock,
                seconds=exchange.lifetime,
                denied=denied,
                provider_of=provider_of,
                emit=emit,
            )
        )
    direct = DirectTokens(site=site, vault=vault, tokens=tokens, emit=emit)
    if (own := config.grant_types.client_credentials) is not None:
        accepted.append(
            ClientCredentials(
                direct=direct,
                clock=clock,
                lifetime=own.lifetime,
                limit=limits.machines.check,
            )
        )
    if (bearer := config.grant_types.jwt_bearer) is not None:
        accepted.append(
            JwtBearer(
                direct=direct,
                issuers=trusted,
                clock=clock,
                lifetime=bearer.lifetime,
                allow=config.allow,
                denied=denied,
                limit=limits.machines.check,
            )
        )
    return accepted


def subject_box(config: Config, random_bytes: RandomBytes) -> SubjectBox:
    """Makes signed identities of the gateway subject tokens, and reads them."""
    return SubjectBox(tuple(map(BoxKey, purpose_keys(config.secrets, "subject"))), random_bytes)
