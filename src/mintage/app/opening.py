"""Builds from a configuration: the vault, the tokens, the keys."""

from collections.abc import Callable, Iterable

from mintage.crypto.derivation import purpose_key, purpose_keys
from mintage.endpoints import STATUS_LIST
from mintage.events.event import Emit, ignore
from mintage.grant_tokens import Tokens
from mintage.jwt.keyring import KeyRing
from mintage.settings.load import Config
from mintage.stores.protocol import Store
from mintage.values import Clock, RandomBytes, Secret
from mintage.vault.cache import GrantCache
from mintage.vault.settings import ProviderCalls, VaultSettings
from mintage.vault.status_slots import StatusSlots
from mintage.vault.values import VaultKeys
from mintage.vault.vault import Vault


def open_vault(
    config: Config,
    store: Store,
    *,
    clock: Clock,
    steady: Clock,
    random_bytes: RandomBytes,
    calls: ProviderCalls,
    emit: Emit = ignore,
    cache: Callable[..., GrantCache] = GrantCache,
) -> Vault:
    """The vault that *config* describes, on a *store* that is open. See `Clocks`.

    *cache* makes its cache: see `Telemetry.cache`.
    """
    grants = config.grants
    settings = VaultSettings(
        keys=tuple(vault_keys(config.secrets)),
        clock=clock,
        steady=steady,
        random_bytes=random_bytes,
        lifetimes=config.lifetimes,
        max_grants=grants.max_per_user_and_client,
    )
    return Vault(
        store,
        settings,
        calls,
        cache=cache(clock=steady, ttl=grants.cache_seconds, outage=grants.outage_seconds),
        emit=emit,
        status=_slots(config, store, clock, steady, random_bytes),
    )


def _slots(
    config: Config, store: Store, clock: Clock, steady: Clock, random_bytes: RandomBytes
) -> StatusSlots | None:
    if config.status_list is None:
        return None
    return StatusSlots(
        store,
        size=config.status_list.size,
        access=config.lifetimes.access,
        clock=clock,
        steady=steady,
        random_bytes=random_bytes,
    )


def status_list_url(config: Config) -> str | None:
    """Where the status list is; None if there is none."""
    return None if config.status_list is None else f"{config.issuer}/{STATUS_LIST.name}"


def vault_keys(roots: Iterable[Secret]) -> list[VaultKeys]:
    """The vault's keys, derived from each root secret."""
    return [
        VaultKeys(seal=purpose_key(root, "seal"), index=purpose_key(root, "index"))
        for root in roots
    ]


def access_keys(config: Config) -> KeyRing | None:
    """The key ring for access tokens that other programs verify too. Former keys still verify."""
    if not config.signing_keys:
        return None
    return KeyRing.of_all((*config.signing_keys, *purpose_keys(config.secrets, "sign")))


def tokens_of(config: Config, clock: Clock) -> Tokens:
    """What issues and verifies the tokens of all resources of *config*."""
    return Tokens(
        issuer=config.issuer,
        resources=[resource.identifier for resource in config.resources],
        keys=KeyRing.of_all(purpose_keys(config.secrets, "sign")),
        access_keys=access_keys(config),
        lifetimes=config.lifetimes,
        clock=clock,
        status_list=status_list_url(config),
    )
