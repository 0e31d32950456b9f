"""Every path of the authorization server, and the handler for it."""

from collections.abc import Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mintage.app.auditing import notes_of
from mintage.app.browsers import BrowserDoor
from mintage.app.core import Core
from mintage.app.devices import device_routes
from mintage.app.grant_types import Trusted, grant_types
from mintage.app.login_pages import page_routes, routes_without_logins
from mintage.app.pushed_requests import pushed_request_routes
from mintage.app.store_watch import look
from mintage.endpoints import (
    BRANDING,
    ENDPOINTS,
    HEALTHZ,
    INTROSPECT,
    JWKS,
    READYZ,
    REGISTER,
    REVOKE,
    STATUS_LIST,
    STATUS_LISTS,
    TOKEN,
    logout_path,
)
from mintage.gateway.gateway import Gateway
from mintage.server.about import About, for_page
from mintage.server.backchannel_logout import BackchannelLogout
from mintage.server.branding import picture, pictures
from mintage.server.health import Probe, Readiness, alive
from mintage.server.introspect import IntrospectEndpoint
from mintage.server.introspection_jwt import IntrospectionResponses
from mintage.server.metadata import documents
from mintage.server.proof_of_key import ProofOfKey
from mintage.server.register import RegisterEndpoint
from mintage.server.revoke import RevokeEndpoint
from mintage.server.status_list import StatusListEndpoint, StatusListsEndpoint
from mintage.server.token import TokenEndpoint
from mintage.site.site import Site
from mintage.web.edge import Handler, check_get, for_clients, json_response

_DOCUMENT: Final = {"cache-control": "public, max-age=300", "vary": "accept"}


def page_paths(site: Site) -> frozenset[str]:
    """The paths that people open in a browser. Scripts of web pages may not call them."""
    pages = [f"/{endpoint.name}" for endpoint in ENDPOINTS if endpoint.page]
    return frozenset(site.base_path + at for at in (*pages, *site.callbacks))


def all_routes(
    core: Core, gateway: Gateway, browsers: BrowserDoor | None, trusted: Trusted
) -> dict[str, Handler]:
    """The handler of every path. *trusted*: see `grant_types`."""
    endpoints = page_routes(core) if core.site.logins else routes_without_logins(core)
    if browsers is not None:
        endpoints |= browsers.routes(
            endpoints,
            gateway,
            upstreams=core.upstreams,
            vault=core.vault,
            revoker=core.revoker,
            clock=core.clock,
            random_bytes=core.random_bytes,
            emit=core.emit,
        )
    endpoints |= device_routes(core, endpoints)
    endpoints |= _token_routes(core, trusted)
    if core.site.logins:
        endpoints |= pushed_request_routes(core)
    endpoints |= _branding_routes(core)
    endpoints |= _status_routes(core)
    endpoints |= _logout_routes(core)
    endpoints |= _health_routes(core)
    if core.config.registration.enabled:
        endpoints |= _registration_routes(core)
    below = {f"{core.site.base_path}/{name}": each for name, each in endpoints.items()}
    return below | _document_routes(core)


def _token_routes(core: Core, trusted: Trusted) -> dict[str, Handler]:
    """The endpoints for tokens: issue, revoke, introspect."""
    issuer, config = core.site.issuer, core.config
    proof = ProofOfKey(core.proofs, f"{issuer}/{TOKEN.name}", core.clock)
    token = TokenEndpoint(
        core.authenticate, grant_types(core, trusted), proof, config.account.addresses
    )
    revoke = RevokeEndpoint(authenticate=core.authenticate, vault=core.vault, tokens=core.tokens)
    introspect = IntrospectEndpoint(
        authenticate=core.authenticate,
        vault=core.vault,
        tokens=core.tokens,
        responses=IntrospectionResponses(issuer=issuer, keys=core.ring, clock=core.clock),
        denied=core.denials.denied.covers,
        resource_servers={
            client.client_id: [issuer + path.rstrip("/") for path in client.introspects]
            for client in config.clients
        },
    )
    return {
        TOKEN.name: for_clients(token, core.random_bytes),
        REVOKE.name: for_clients(revoke, core.random_bytes),
        INTROSPECT.name: for_clients(introspect, core.random_bytes),
    }


def _logout_routes(core: Core) -> dict[str, Handler]:
    """Where each provider says that a user has logged out there."""
    return {
        logout_path(each.callback).lstrip("/"): for_clients(
            BackchannelLogout(each, core.vault, core.clock), core.random_bytes
        )
        for each in core.upstreams
    }


def _health_routes(core: Core) -> dict[str, Handler]:
    store, upstreams = core.lasting.store, core.upstreams
    probes: dict[str, Probe] = {"store": lambda: store.load(b"readyz")}
    for upstream in upstreams:
        name = "upstream" if len(upstreams) == 1 else f"upstream {upstream.name}"
        probes[name] = upstream.check

    async def notes() -> Mapping[str, str | float]:
        return {**await look(store, core.lasting.clock.machine), **notes_of(core.lasting.auditor)}

    readiness = Readiness(probes, notes)
    return {
        HEALTHZ.name: for_clients(alive, core.random_bytes),
        READYZ.name: for_clients(readiness, core.random_bytes),
    }


def _registration_routes(core: Core) -> dict[str, Handler]:
    endpoint = RegisterEndpoint(
        client_ids=core.client_ids,
        policy=core.config.documents,
        clock=core.clock,
        random_bytes=core.random_bytes,
        token=core.config.registration.token,
        denied=core.denials.denied,
        limit_by_address=core.limits.registrations_by_address.check,
        limit=core.limits.registrations.check,
        emit=core.emit,
    )
    return {REGISTER.name: for_clients(endpoint, core.random_bytes)}


def _document_routes(core: Core) -> dict[str, Handler]:
    """The documents, by their paths."""
    found = documents(core.site, core.config.capabilities)
    if core.ring is not None:
        found[f"{core.site.base_path}/{JWKS.name}"] = dict(core.ring.jwks())
    return {
        path: for_clients(_document(content, core.about), core.random_bytes)
        for path, content in found.items()
    }


def _branding_routes(core: Core) -> dict[str, Handler]:
    """The pictures of the pages."""
    return {
        f"{BRANDING.name}/{name}": for_clients(picture(logo), core.random_bytes)
        for name, logo in pictures(core.config.branding).items()
    }


def _status_routes(core: Core) -> dict[str, Handler]:
    """The status list, and the list of all of them."""
    section, slots, issuer = core.config.status_list, core.vault.status, core.site.issuer
    if section is None or slots is None or core.ring is None:
        return {}
    uri, all_lists = (f"{issuer}/{each.name}" for each in (STATUS_LIST, STATUS_LISTS))
    listed = StatusListEndpoint(
        slots=slots,
        keys=core.ring,
        issuer=issuer,
        uri=uri,
        aggregation_uri=all_lists,
        ttl=section.ttl,
    )
    return {
        STATUS_LIST.name: for_clients(listed, core.random_bytes),
        STATUS_LISTS.name: for_clients(StatusListsEndpoint(uri), core.random_bytes),
    }


def _document(content: dict[str, object], about: About) -> Handler:
    """A handler that serves *content*, which does not change while the server runs.

    A browser that somebody opened it in gets a page.
    """

    async def endpoint(request: Request) -> Response:
        check_get(request)
        if for_page(request):
            return about.server(request)
        return json_response(content, headers=_DOCUMENT)

    return endpoint
