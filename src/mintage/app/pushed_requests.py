"""The parts for authorization requests that are checked, and that clients push (RFC 9126)."""

from mintage.app.core import Core
from mintage.crypto.derivation import purpose_keys
from mintage.crypto.sealing import BoxKey
from mintage.endpoints import PAR
from mintage.server.authorization_checks import AuthorizationChecks
from mintage.server.par import PushedAuthorizationEndpoint
from mintage.server.proof_of_key import ProofOfKey
from mintage.server.pushed_requests import PushedSeal
from mintage.settings.load import Config
from mintage.values import RandomBytes
from mintage.web.edge import Handler, for_clients


def pushed_seal(config: Config, random_bytes: RandomBytes) -> PushedSeal:
    keys = tuple(map(BoxKey, purpose_keys(config.secrets, "cookie")))
    return PushedSeal(keys, config.issuer, random_bytes)


def authorization_checks(core: Core) -> AuthorizationChecks:
    return AuthorizationChecks(
        site=core.site,
        upstreams=core.upstreams,
        cookies=core.cookies,
        remembers=core.config.consent.remember_seconds > 0,
        only_pushed=core.config.par.required,
    )


def pushed_request_routes(core: Core) -> dict[str, Handler]:
    endpoint = PushedAuthorizationEndpoint(
        authenticate=core.authenticate,
        checks=authorization_checks(core),
        proof_of_key=ProofOfKey(core.proofs, f"{core.site.issuer}/{PAR.name}", core.clock),
        seal=pushed_seal(core.config, core.random_bytes),
        seconds=core.config.par.lifetime,
        clock=core.clock,
        limit_by_address=core.limits.pushed_requests_by_address.check,
    )
    return {PAR.name: for_clients(endpoint, core.random_bytes)}
