"""Checks who may use what the settings turn on: grant types, pushed requests and proofs."""

from collections.abc import AsyncIterator, Iterator

from mintage.checks.findings import Finding, ok, warning
from mintage.clients.client import CLIENT_CREDENTIALS, DEVICE_CODE, JWT_BEARER, Client
from mintage.settings.load import Config


async def check_granting(config: Config) -> AsyncIterator[Finding]:
    """What is on, and for whom; and what is on for nobody. Nothing of what is off."""
    if (finding := who_may_ask_for_codes(config)) is not None:
        yield finding
    for check in (_own_tokens, _id_jags, _pushed_requests, _proofs):
        for finding in check(config):
            yield finding


def who_may_ask_for_codes(config: Config) -> Finding | None:
    """Device authorization (RFC 8628 §5.4): strangers may send codes of theirs to users."""
    about = "grant_types.device_code"
    if config.grant_types.device_code is None:
        return None
    registers = config.registration.enabled and config.registration.token is None
    clients: list[str] = [client.client_id for _, client in _with(config, DEVICE_CODE)]
    if not clients and not _takes_others(config):
        return _for_nobody("device_code", DEVICE_CODE)
    if not registers and not config.documents.enabled:
        if config.registration.enabled:
            clients.append("clients with the registration token")
        return ok(about, f"devices log in for: {', '.join(clients)}")
    return warning(
        about,
        "anybody can make a client that asks for a code, and send the code to a user, who then "
        "logs in a stranger's device",
        'set registration.mode = "token" or "off" and cimd.enabled = false, or list the hosts in '
        "cimd.allow; leave it if your users know the risk",
    )


def _with(config: Config, grant_type: str) -> list[tuple[int, Client]]:
    numbered = enumerate(config.clients)
    return [(number, client) for number, client in numbered if grant_type in client.grant_types]


def _takes_others(config: Config) -> bool:
    """Whether there may be clients of which the settings say nothing."""
    return config.registration.enabled or config.documents.enabled


def _own_tokens(config: Config) -> Iterator[Finding]:
    """Client credentials (RFC 6749 §4.4)."""
    section = config.grant_types.client_credentials
    if section is None:
        return
    clients = _with(config, CLIENT_CREDENTIALS)
    for number, client in clients:
        scopes = " ".join(client.scopes or ()) or "no scope"
        here = {
            scope
            for resource in config.site.resources
            if resource.path in client.resources
            for scope in resource.all_scopes
        }
        if unknown := [scope for scope in client.scopes or () if scope not in here]:
            yield warning(
                f"client[{number}].scopes",
                f"{client.client_id} may ask for {' '.join(unknown)}, which "
                f"{', '.join(client.resources)} does not have: there is "
                f"{' '.join(sorted(here)) or 'no scope'}",
                "correct it, or write it into the optional_scopes of the resource",
            )
        yield ok(
            f"client[{number}].resources",
            f"{client.client_id} gets tokens for itself at {', '.join(client.resources)}, with "
            f"{scopes}, for {_lifetime(config, section.lifetime)} s ({client.auth_method})",
        )
    if not clients:
        yield _for_nobody("client_credentials", CLIENT_CREDENTIALS)


def _id_jags(config: Config) -> Iterator[Finding]:
    """Who redeems ID-JAGs. A workload needs no client."""
    about = "grant_types.jwt_bearer"
    section = config.grant_types.jwt_bearer
    if section is None:
        return
    issuers = [one.name for one in config.trusted_issuers if one.purpose == "id_jag"]
    clients = _with(config, JWT_BEARER)
    if not issuers:
        for number, client in clients:
            yield warning(
                f"client[{number}].grant_types",
                f"{client.client_id} may redeem ID-JAGs, and no trusted issuer makes them",
                'add a [[trusted_issuer]] with purpose = "id_jag", or take the grant type away',
            )
        return
    able = [f"{client.client_id} ({client.auth_method})" for _, client in clients]
    if config.documents.enabled:
        able.append("clients with a metadata document and a key")
    if not able:
        yield _for_nobody("jwt_bearer", JWT_BEARER)
        return
    seconds = _lifetime(config, section.lifetime)
    yield ok(
        about,
        f"the ID-JAGs of {', '.join(issuers)} are for: {', '.join(able)}; "
        f"their tokens live for {seconds} s",
    )


def _pushed_requests(config: Config) -> Iterator[Finding]:
    """Who must push authorization requests (RFC 9126)."""
    about = "par.required"
    logging_in = [one for _, one in _with(config, "authorization_code") if one.redirect_uris]
    if config.par.required and not logging_in and not _takes_others(config):
        yield warning(
            about,
            "all clients must push their authorization requests, and there is no client that "
            "could: nobody can log in",
            "add a [[client]] with redirect_uris, or let clients register",
        )
    elif config.par.required:
        yield ok(about, "all clients must push their authorization requests: others are refused")
    elif pushing := [one.client_id for one in logging_in if one.pushes]:
        yield ok("par", f"must push their authorization requests: {', '.join(pushing)}")


def _proofs(config: Config) -> Iterator[Finding]:
    """Where tokens must be bound to a key (RFC 9449)."""
    for number, resource in enumerate(config.resources):
        if resource.dpop_required:
            yield ok(
                f"resource[{number}].dpop",
                f"{resource.path} takes only tokens that are bound to a key",
            )
    for number, client in enumerate(config.clients):
        if client.dpop_bound:
            yield ok(
                f"client[{number}].dpop_bound_access_tokens",
                f"{client.client_id} gets only tokens that are bound to a key",
            )
    if config.dpop.nonce == "required":
        yield ok("dpop.nonce", "each proof of a key must have a nonce of this server")


def _for_nobody(table: str, grant_type: str) -> Finding:
    return warning(
        f"grant_types.{table}",
        "it is on, and no client may use it",
        f'write "{grant_type}" into the grant_types of a [[client]], or remove the table',
    )


def _lifetime(config: Config, seconds: int) -> int:
    return min(seconds, config.lifetimes.access)
