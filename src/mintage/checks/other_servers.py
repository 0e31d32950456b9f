"""Checks the authorization servers whose tokens backends demand, and what backends may exchange."""

import time
from collections.abc import AsyncIterator
from typing import Final

from mintage.checks.findings import Finding, error, ok, warning
from mintage.errors import UpstreamError, UpstreamMisconfigured, UpstreamRefused
from mintage.settings.load import Config
from mintage.upstream.opening import open_upstream
from mintage.upstream.transport import HttpTransport
from mintage.upstream.upstream import Upstream

_NO_ASSERTION: Final = "eyJhbGciOiJub25lIn0.e30."
"""No server takes it. One that knows the client says so, and others refuse the client."""


async def check_other_servers(config: Config) -> AsyncIterator[Finding]:
    """Each server of ``[resource.id_jag]``: its metadata, and whether it takes the credentials."""
    for number, resource in enumerate(config.resources):
        for other in config.others:
            wanted = resource.id_jag
            if wanted and (wanted.audience, wanted.client_id) == (other.issuer, other.client_id):
                yield await _check(other, f"resource[{number}].id_jag")


async def check_exchanging(config: Config) -> AsyncIterator[Finding]:
    """Which clients may exchange tokens, and which get the users' own at the provider."""
    if config.grant_types.token_exchange is not None and not any(
        client.exchanging for client in config.clients
    ):
        yield warning(
            "grant_types.token_exchange",
            "it is on, and no client may use it",
            "give a [[client]] the table [client.token_exchange], or remove this one",
        )
    for number, client in enumerate(config.clients):
        if (rules := client.exchanging) is None:
            continue
        key = f"client[{number}].token_exchange"
        if rules.targets:
            where = ", ".join(rules.targets)
            yield ok(key, f"{client.client_id} acts for users of {rules.resource} at {where}")
        if rules.upstream_token:
            yield warning(
                f"{key}.gets_the_users_access_token_at_the_identity_provider",
                f"{client.client_id} gets the users' own access tokens at the identity provider",
                "keep this only if you trust it with all that these tokens may do; the audit trail "
                "has upstream_token_given for each",
            )


async def _check(other: Upstream, key: str) -> Finding:
    client = open_upstream(other, HttpTransport(), time.time)
    try:
        await client.check()
    except UpstreamError as failure:
        await client.close()
        return error(
            f"{key}.issuer",
            f"{other.title} does not answer as it should: {failure}",
            "write the issuer exactly as its metadata has it, or set token_endpoint",
        )
    try:
        await client.redeem_id_jag(_NO_ASSERTION, now=int(time.time()))
    except UpstreamRefused:
        return ok(key, f"{other.title} takes the client_id and its credentials")
    except UpstreamMisconfigured as failure:
        return error(
            f"{key}.client_secret",
            f"{other.title} refuses the client_id, its credentials, or the jwt-bearer grant",
            f"register this client there for that grant, and copy its credentials ({failure})",
        )
    except UpstreamError as failure:
        return warning(
            key,
            f"nobody can tell whether {other.title} takes the credentials: {failure}",
            "check that this machine reaches its token endpoint",
        )
    finally:
        await client.close()
    return error(key, f"{other.title} gives a token for any assertion", "tell its operator")
