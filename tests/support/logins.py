"""Logins for the vault's tests: made, redeemed and refreshed with the least said."""

import secrets
from collections.abc import Sequence
from typing import Any

from mintage.grants.handles import Handle, parse_code
from mintage.grants.lease import Renewed
from mintage.grants.pkce import s256
from mintage.grants.states import Consent, Identity, UpstreamTokens
from mintage.grants.transitions import Redemption, Refreshment
from mintage.stores.protocol import Store
from mintage.values import ClientId, Clock
from mintage.vault.settings import DEFAULT_MAX_GRANTS, ProviderCalls, VaultSettings, forget
from mintage.vault.values import Lifetimes, OpenGrant, Refused, Renew, ReportEnded, VaultKeys
from mintage.vault.vault import Vault

CLIENT = ClientId("client")
IDP = "https://idp.example"
RESOURCE, REDIRECT = "https://auth.example/mcp", "https://app.example/cb"
VERIFIER = "v" * 43
OLD = VaultKeys(seal=b"s" * 32, index=b"i" * 32)
NEW = VaultKeys(seal=b"S" * 32, index=b"I" * 32)


def vault_on(
    store: Store,
    clock: Clock,
    keys: VaultKeys = OLD,
    *,
    former_keys: Sequence[VaultKeys] = (),
    lifetimes: Lifetimes | None = None,
    max_grants: int = DEFAULT_MAX_GRANTS,
    renew: Renew | None = None,
    ended: ReportEnded = forget,
    **more: Any,
) -> Vault:
    settings = VaultSettings(
        keys=(keys, *former_keys),
        clock=clock,
        steady=clock,
        random_bytes=secrets.token_bytes,
        lifetimes=lifetimes or Lifetimes(),
        max_grants=max_grants,
    )
    return Vault(store, settings, ProviderCalls(renew=renew or never, ended=ended), **more)


async def new_code(
    vault: Vault,
    user: str = "alice",
    client: ClientId = CLIENT,
    *,
    at: int = 0,
    resource: str = RESOURCE,
    upstream: UpstreamTokens | None = None,
    **claims: str,
) -> str:
    """The code of a login that was finished at the time *at*; see `redeem`."""
    return await vault.create(
        Consent(
            client_id=client,
            resource=resource,
            scopes=("tools",),
            identity=Identity(issuer=IDP, subject=user, claims=claims),
            created_at=at,
        ),
        upstream or UpstreamTokens(access_token=f"upstream token of {user}"),
        code_challenge=s256(VERIFIER),
        redirect_uri=REDIRECT,
    )


async def redeem(
    vault: Vault,
    code: str,
    client: ClientId = CLIENT,
    *,
    verifier: str = VERIFIER,
    redirect_uri: str | None = None,
    resource: str | None = None,
) -> OpenGrant | Refused:
    parsed = parse_code(code)
    assert parsed is not None
    request = Redemption(
        client_id=client,
        code_hash=parsed[1],
        code_verifier=verifier,
        redirect_uri=redirect_uri,
        resource=resource,
    )
    return await vault.redeem(parsed[0], request)


async def logged_in(
    vault: Vault, user: str = "alice", client: ClientId = CLIENT, **more: Any
) -> OpenGrant:
    opened = await redeem(vault, await new_code(vault, user, client, **more), client)
    assert isinstance(opened, OpenGrant)
    return opened


async def rotate(vault: Vault, opened: OpenGrant, generation: int = 1) -> OpenGrant | Refused:
    request = Refreshment(
        client_id=opened.grant.login.client_id, generation=generation, scopes=None, resource=None
    )
    return await vault.rotate(opened.secret, request)


async def use(vault: Vault, opened: OpenGrant) -> OpenGrant | Refused:
    return await vault.live.authenticate(Handle(opened.secret, 1, "access"))


async def never(_: UpstreamTokens, __: Identity) -> Renewed:
    raise AssertionError("the upstream token is not due")
