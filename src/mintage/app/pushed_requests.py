"""The parts for authorization requests that are checked, and that clients push (RFC 9126)."""

from mintage.app.limits import Limits
from mintage.clients.authentication import Authenticator
from mintage.crypto.derivation import purpose_keys
from mintage.crypto.sealing import BoxKey
from mintage.dpop.proofs import Proofs
from mintage.endpoints import PAR
from mintage.server.authorization_checks import AuthorizationChecks
from mintage.server.cookies import Cookies
from mintage.server.par import PushedAuthorizationEndpoint
from mintage.server.proof_of_key import ProofOfKey
from mintage.server.pushed_requests import PushedSeal
from mintage.settings.load import Config
from mintage.site.site import Site
from mintage.upstream.registry import Upstreams
from mintage.values import Clock, RandomBytes
from mintage.web.edge import Handler, for_clients


def pushed_seal(config: Config, random_bytes: RandomBytes) -> PushedSeal:
    keys = tuple(map(BoxKey, purpose_keys(config.secrets, "cookie")))
    return PushedSeal(keys, config.issuer, random_bytes)


def authorization_checks(
    config: Config, site: Site, upstreams: Upstreams, random_bytes: RandomBytes
) -> AuthorizationChecks:
    keys = tuple(map(BoxKey, purpose_keys(config.secrets, "cookie")))
    return AuthorizationChecks(
        site=site,
        upstreams=upstreams,
        cookies=Cookies(keys, site.secure, random_bytes),
        remembers=config.consent.remember_seconds > 0,
        only_pushed=config.par.required,
    )


def pushed_request_routes(
    config: Config,
    site: Site,
    upstreams: Upstreams,
    *,
    authenticate: Authenticator,
    proofs: Proofs,
    limits: Limits,
    clock: Clock,
    random_bytes: RandomBytes,
) -> dict[str, Handler]:
    endpoint = PushedAuthorizationEndpoint(
        authenticate=authenticate,
        checks=authorization_checks(config, site, upstreams, random_bytes),
        proof_of_key=ProofOfKey(proofs, f"{site.issuer}/{PAR.name}", clock),
        seal=pushed_seal(config, random_bytes),
        seconds=config.par.lifetime,
        clock=clock,
        limit_by_address=limits.pushed_requests_by_address.check,
    )
    return {PAR.name: for_clients(endpoint, random_bytes)}
