"""``mintage keys status``: which root secrets there are, and how many grants need each."""

import asyncio
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console
from rich.table import Table

from mintage.app import vault_keys
from mintage.cli.opening import Opened, opened


@dataclass(frozen=True, slots=True)
class Need:
    """How many live grants need one root secret, and for what."""

    secret_id: str
    sealed: int
    signed: int
    registered: int
    grants: int


def status(*, config: Annotated[Path, Parameter(help="The TOML file with the settings.")]) -> int:
    """Show each root secret and how many live grants still need it.

    A grant needs the secret that its record is sealed under, the one that its newest tokens
    are signed with, and the one that its client registered under. Exit code 1 if a secret
    is needed that is not configured.
    """
    return asyncio.run(_status(config))


async def _status(path: Path) -> int:
    async with opened(path) as here:
        found = await needs(here)
        configured = len(here.config.secrets)
    table = Table(box=None)
    for heading in ("secret", "", "grants", "sealed", "tokens", "clients"):
        table.add_column(heading, justify="right" if heading not in ("secret", "") else "left")
    for number, need in enumerate(found):
        state = "in use" if number == 0 else "former" if number < configured else "MISSING"
        counts = map(str, (need.grants, need.sealed, need.signed, need.registered))
        table.add_row(need.secret_id, state, *counts)
    Console().print(table)
    return 0 if len(found) == configured else 1


async def needs(here: Opened) -> list[Need]:
    """For each configured secret, then for each that is not and should be."""
    ids = [keys.id for keys in vault_keys(here.config.secrets)]
    sealed: Counter[bytes] = Counter()
    signed: Counter[bytes] = Counter()
    registered: Counter[bytes] = Counter()
    grants: Counter[bytes] = Counter()
    async for grant in here.vault.listing.find():
        # A record of the first format does not say: it may need any that was in use before.
        sealing = {grant.sealed_under} if grant.sealed_under else set(ids[1:])
        signing = {grant.signed_with} if grant.signed_with else set(ids[1:])
        who = grant.summary
        number = None if who is None else here.client_ids.made_with(who.client_id)
        registering = set() if number is None else {ids[number]}
        sealed.update(sealing)
        signed.update(signing)
        registered.update(registering)
        grants.update(sealing | signing | registering)
    missing = sorted(grants.keys() - set(ids))
    return [
        Need(name.hex(), sealed[name], signed[name], registered[name], grants[name])
        for name in (*ids, *missing)
    ]
