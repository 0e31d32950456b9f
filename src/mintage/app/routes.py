"""Every path of the authorization server, and the handler for it."""

from starlette.requests import Request
from starlette.responses import Response

from mintage.app.opening import access_keys
from mintage.app.parts import Parts
from mintage.app.store_watch import look
from mintage.crypto.derivation import purpose_keys
from mintage.crypto.sealing import BoxKey
from mintage.endpoints import (
    AUTHORIZE,
    CONSENT,
    ENDPOINTS,
    HEALTHZ,
    INTROSPECT,
    JWKS,
    READYZ,
    REGISTER,
    REVOKE,
    TOKEN,
)
from mintage.server.authorize import AuthorizeEndpoint
from mintage.server.callback import CallbackEndpoint
from mintage.server.consent import ConsentEndpoint
from mintage.server.consent_form import ConsentSeal
from mintage.server.cookies import Cookies
from mintage.server.grant_types.authorization_code import AuthorizationCode
from mintage.server.grant_types.refresh_token import RefreshToken
from mintage.server.health import Readiness, alive
from mintage.server.introspect import IntrospectEndpoint
from mintage.server.metadata import ClientsAccepted, documents
from mintage.server.pages import for_browsers
from mintage.server.register import RegisterEndpoint
from mintage.server.revoke import RevokeEndpoint
from mintage.server.token import GrantType, TokenEndpoint
from mintage.upstream.registry import RegisteredUpstream
from mintage.web.edge import Handler, check_get, for_clients, json_response


def routes(parts: Parts) -> dict[str, Handler]:
    """Path → handler."""
    found = _pages(parts) | _for_clients(parts)
    if parts.config.registration.enabled:
        found[REGISTER.name] = _register(parts)
    base = parts.site.base_path
    return {f"{base}/{name}": handler for name, handler in found.items()} | _documents(parts)


def page_paths(parts: Parts) -> frozenset[str]:
    """The paths that people open in a browser. Scripts of web pages may not call them."""
    site = parts.site
    pages = [f"/{endpoint.name}" for endpoint in ENDPOINTS if endpoint.page]
    return frozenset(site.base_path + at for at in (*pages, *site.callbacks))


def _pages(parts: Parts) -> dict[str, Handler]:
    site, clock, random_bytes, upstreams = (
        parts.site,
        parts.clock,
        parts.random_bytes,
        parts.upstreams,
    )
    cookie_keys = tuple(map(BoxKey, purpose_keys(parts.config.secrets, "cookie")))
    cookies = Cookies(cookie_keys, site.secure, random_bytes)
    seal = ConsentSeal(cookie_keys, random_bytes)
    authorize = AuthorizeEndpoint(
        site=site,
        directory=parts.directory,
        cookies=cookies,
        seal=seal,
        upstreams=upstreams,
        clock=clock,
        random_bytes=random_bytes,
    )
    consent = ConsentEndpoint(
        site=site,
        upstreams=upstreams,
        cookies=cookies,
        seal=seal,
        clock=clock,
        random_bytes=random_bytes,
    )
    callbacks = {
        upstream.callback.lstrip("/"): CallbackEndpoint(
            site=site,
            upstream=upstream,
            vault=parts.vault,
            cookies=cookies,
            revoker=parts.revoker,
            allow=parts.config.allow,
            contact=parts.config.contact,
            clock=clock,
            random_bytes=random_bytes,
        )
        for upstream in upstreams
    }
    return {
        AUTHORIZE.name: for_browsers(authorize, random_bytes, of_application=True),
        CONSENT.name: for_browsers(consent, random_bytes),
        **{path: for_browsers(callback, random_bytes) for path, callback in callbacks.items()},
    }


def _for_clients(parts: Parts) -> dict[str, Handler]:
    site, vault, tokens = parts.site, parts.vault, parts.tokens
    random_bytes, authenticate = parts.random_bytes, parts.authenticate
    grant_types: list[GrantType] = [
        AuthorizationCode(site=site, vault=vault, tokens=tokens),
        RefreshToken(site=site, vault=vault, tokens=tokens),
    ]
    revoke = RevokeEndpoint(authenticate=authenticate, vault=vault, tokens=tokens)
    introspect = IntrospectEndpoint(
        authenticate=authenticate,
        vault=vault,
        tokens=tokens,
        resource_servers={
            client.client_id: [site.issuer + path.rstrip("/") for path in client.introspects]
            for client in parts.config.clients
        },
    )
    readiness = Readiness(
        {"store": lambda: parts.store.load(b"readyz")}
        | {_probe(one, parts): one.check for one in parts.upstreams},
        lambda: look(parts.store, parts.clock.machine),
    )
    return {
        TOKEN.name: for_clients(TokenEndpoint(authenticate, grant_types), random_bytes),
        REVOKE.name: for_clients(revoke, random_bytes),
        INTROSPECT.name: for_clients(introspect, random_bytes),
        HEALTHZ.name: for_clients(alive, random_bytes),
        READYZ.name: for_clients(readiness, random_bytes),
    }


def _probe(upstream: RegisteredUpstream, parts: Parts) -> str:
    return "upstream" if len(parts.upstreams) == 1 else f"upstream {upstream.name}"


def _register(parts: Parts) -> Handler:
    endpoint = RegisterEndpoint(
        client_ids=parts.client_ids,
        policy=parts.config.documents,
        clock=parts.clock,
        random_bytes=parts.random_bytes,
        token=parts.config.registration.token,
    )
    return for_clients(endpoint, parts.random_bytes)


def _documents(parts: Parts) -> dict[str, Handler]:
    config, site, ring = parts.config, parts.site, access_keys(parts.config)
    accepted = ClientsAccepted(
        registration=config.registration.enabled, documents=config.documents.enabled
    )
    found = documents(site, accepted, keys=ring is not None)
    if ring is not None:
        found[f"{site.base_path}/{JWKS.name}"] = dict(ring.jwks())
    return {
        path: for_clients(_document(content), parts.random_bytes) for path, content in found.items()
    }


def _document(content: dict[str, object]) -> Handler:
    """A handler that serves *content*, which does not change while the server runs."""

    async def endpoint(request: Request) -> Response:
        check_get(request)
        return json_response(content, headers={"cache-control": "public, max-age=300"})

    return endpoint
