"""Checks what gets tokens without a login: trusted issuers and clients that act for themselves."""

import time
from collections.abc import AsyncIterator, Iterator

from mintage.checks.findings import Finding, error, ok, warning
from mintage.clients.client import CLIENT_CREDENTIALS
from mintage.errors import UpstreamError
from mintage.settings.load import Config
from mintage.trust.issuer import TrustedIssuer
from mintage.trust.keys import IssuerKeys
from mintage.upstream.transport import HttpTransport


async def check_trusted(config: Config) -> AsyncIterator[Finding]:
    """Each trusted issuer's keys can be had; and no machine gets a token that gets it nothing."""
    for number, issuer in enumerate(config.trusted_issuers):
        yield await _keys_of(issuer, f"trusted_issuer[{number}]")
    for finding in _useless(config):
        yield finding


async def _keys_of(issuer: TrustedIssuer, about: str) -> Finding:
    keys = IssuerKeys(issuer, HttpTransport(), time.monotonic)
    try:
        found = await keys.keys()
    except UpstreamError as failure:
        return error(
            about,
            f"the keys of {issuer.issuer} can't be had: {failure}",
            "correct issuer or jwks_uri, open the way to it, or write its keys as jwks",
        )
    finally:
        await keys.close()
    number = len(found.keys)
    counted = "1 key" if number == 1 else f"{number} keys"
    return ok(about, f"{issuer.issuer}: {counted}, {_use_of(issuer)}")


def _use_of(issuer: TrustedIssuer) -> str:
    if issuer.purpose == "id_jag":
        where = "all resources" if issuer.resources is None else ", ".join(issuer.resources)
        return f"ID-JAGs for {where}"
    rules = (f"{rule.name} ({', '.join(rule.resources)})" for rule in issuer.rules)
    return f"workloads by the rules {', '.join(rules)}"


def _useless(config: Config) -> Iterator[Finding]:
    """Entries for resources that need a token of the provider, which no machine has."""
    needing = {
        resource.path
        for resource in config.resources
        if resource.credential in ("upstream", "exchange")
    }
    named = [
        (f"client[{number}].resources", client.resources)
        for number, client in enumerate(config.clients)
        if CLIENT_CREDENTIALS in client.grant_types
    ]
    for number, issuer in enumerate(config.trusted_issuers):
        at = f"trusted_issuer[{number}]"
        named.append((f"{at}.resources", issuer.resources or ()))
        for place, rule in enumerate(issuer.rules):
            named.append((f"{at}.rule[{place}].resources", rule.resources))
    for about, paths in named:
        for path in sorted(needing.intersection(paths)):
            yield warning(
                about,
                f"{path} needs the user's token at the provider, and there is none without a login",
                'give that resource another credential, such as "identity", or leave it out here',
            )
