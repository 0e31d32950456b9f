"""Denies clients, and admits them again: on all servers of one store."""

import logging
import secrets
import time
from contextlib import suppress
from typing import Final

import msgspec

from mintage.app.opening import vault_keys
from mintage.clients.client import Client
from mintage.clients.denied import DeniedClients, place_name
from mintage.clients.registration import ClientIds
from mintage.errors import StoreError
from mintage.events.clients import ClientDenied
from mintage.events.event import Emit, Party, ignore
from mintage.grants.browser_sessions import browser_client
from mintage.grants.machines import WORKLOAD_PREFIX
from mintage.settings.load import Config
from mintage.stores.protocol import Store
from mintage.values import ClientId, Clock, RandomBytes
from mintage.vault.denials import Denial, Denials
from mintage.vault.values import Listed
from mintage.vault.vault import Vault

log = logging.getLogger("mintage")

PAUSE: Final = 2.0
"""Seconds between two looks at the denials of other processes."""

KNOWN_EVERYWHERE: Final = 5.0
"""Seconds after which every server that reaches the store refuses a denied client."""


class ClientDenials(msgspec.Struct, kw_only=True):
    """*denials* are those in the store, *denied* what this process knows of them.

    *browsers*: what takes a client's place in the grants of browsers (see `browser_client`).
    """

    denials: Denials
    denied: DeniedClients
    vault: Vault
    browsers: frozenset[str] = frozenset()
    emit: Emit = ignore
    _fault: str = ""

    async def start(self) -> None:
        """Learn the denials before the first request, and encrypt them under the secret in use."""
        await self.follow()
        with suppress(StoreError):  # it was logged
            await self.denials.reseal()

    async def follow(self) -> None:
        """Learn what other processes changed. A fault is logged once, and the last answer stays."""
        try:
            await self.look()
        except StoreError as error:
            if str(error) != self._fault:
                log.warning("denied clients: %s; those that are known stay denied", error)
            self._fault = str(error)
        else:
            self._fault = ""

    def go_on_from(self, former: "ClientDenials") -> None:
        """Deny what *former* denied, if the store could not be asked."""
        if self._fault:
            self.denied.update(former.denied.names)

    async def look(self) -> tuple[Denial, ...]:
        """All denials, as the store has them. Raises `StoreError`."""
        found = await self.denials.load()
        self.denied.update([one.name for one in found])
        return found

    def canonical(self, name: str) -> str:
        """*name* as it is compared with clients.

        Raises ``ValueError``, with a sentence, for a name under which no client can be denied.
        """
        if name.startswith(WORKLOAD_PREFIX):  # the client is a rule of the settings
            return name
        if name in self.browsers or self.denied.known(name) is not None:
            return name
        return place_name(name)

    async def deny(self, name: str, *, by: str | None) -> bool:
        """Deny the clients that *name* covers. Returns whether that is new.

        *name*: as `canonical` returns it. *by*: the operator. Call `end_grants` after it.
        """
        changed = await self.denials.deny(name, by=by)
        await self._changed(name, denied=True, changed=changed)
        return changed

    async def admit(self, name: str) -> bool:
        """Deny *name* no longer. Returns whether it was denied. Its users log in again.

        *name*: as it is listed, or as it was given to `canonical`.
        """
        if name not in {one.name for one in await self.look()}:
            with suppress(ValueError):  # nothing is denied under it
                name = self.canonical(name)
        changed = await self.denials.admit(name)
        await self._changed(name, denied=False, changed=changed)
        return changed

    async def end_grants(self) -> int:
        """End the grants of all denied clients. Returns how many there were.

        A server that does not know of a denial yet can still make a grant: call it again after
        `KNOWN_EVERYWHERE` seconds.
        """
        await self.look()
        ended = 0
        async for grant in self.vault.listing.find():
            if self.covers(grant):
                await self.vault.revocation.end(grant, reason="client_denied")
                ended += 1
        return ended

    def covers(self, grant: Listed) -> bool:
        """Whether the client of *grant* is denied."""
        return grant.summary is not None and self.denied.covers(grant.summary.client_id)

    async def _changed(self, name: str, *, denied: bool, changed: bool) -> None:
        await self.look()
        if changed:
            self.emit(ClientDenied(party=Party(client_id=ClientId(name)), name=name, denied=denied))


def denials_in(
    store: Store,
    config: Config,
    *,
    clock: Clock = time.time,
    random_bytes: RandomBytes = secrets.token_bytes,
) -> Denials:
    """The list of denied clients in *store*, under the secrets of *config*."""
    return Denials(store, vault_keys(config.secrets), clock=clock, random_bytes=random_bytes)


def open_denials(
    config: Config,
    vault: Vault,
    store: Store,
    client_ids: ClientIds,
    *,
    clock: Clock = time.time,
    random_bytes: RandomBytes = secrets.token_bytes,
    emit: Emit = ignore,
) -> ClientDenials:
    """The denials in *store*, for the clients that *config* and *client_ids* know."""
    configured = {client.client_id: client for client in config.clients}

    def known(client_id: str) -> Client | None:
        return configured.get(ClientId(client_id)) or client_ids.read(client_id)

    denials = denials_in(store, config, clock=clock, random_bytes=random_bytes)
    browsers = frozenset(browser_client(one.path) for one in config.resources if one.browser)
    return ClientDenials(
        denials=denials, denied=DeniedClients(known), vault=vault, browsers=browsers, emit=emit
    )
