"""Every path of the authorization server, and the handler for it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from mintage.app.browsers import browser_cookies
from mintage.app.limits import Limits
from mintage.app.pushed_requests import authorization_checks, pushed_seal
from mintage.app.store_watch import look
from mintage.clients.authentication import Authenticator
from mintage.clients.client import Client
from mintage.clients.denied import DeniedClients
from mintage.clients.directory import Directory
from mintage.clients.registration import ClientIds
from mintage.crypto.derivation import purpose_keys
from mintage.crypto.sealing import BoxKey
from mintage.dpop.proofs import Proofs
from mintage.endpoints import (
    ACCOUNT,
    AUTHORIZE,
    BRANDING,
    CONSENT,
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
from mintage.events.event import Emit
from mintage.grant_tokens import Tokens
from mintage.jwt.keyring import KeyRing
from mintage.server.about import About, for_page
from mintage.server.account import AccountEndpoint
from mintage.server.account_callback import AccountSignIn
from mintage.server.account_session import AccountCookies
from mintage.server.authorize import AuthorizeEndpoint
from mintage.server.backchannel_logout import BackchannelLogout
from mintage.server.branding import picture, pictures
from mintage.server.callback import CallbackEndpoint
from mintage.server.client_address import KeptAddress
from mintage.server.consent import ConsentEndpoint
from mintage.server.consent_form import ConsentSeal
from mintage.server.cookies import Cookies
from mintage.server.grant_type import GrantType
from mintage.server.health import Probe, Readiness, alive
from mintage.server.introspect import IntrospectEndpoint
from mintage.server.introspection_jwt import IntrospectionResponses
from mintage.server.login_start import LoginStart
from mintage.server.metadata import documents
from mintage.server.pages import Pages, for_browsers
from mintage.server.proof_of_key import ProofOfKey
from mintage.server.register import RegisterEndpoint
from mintage.server.remembered_cookie import HintCookie
from mintage.server.remembering import Remembering
from mintage.server.revoke import RevokeEndpoint
from mintage.server.sign_in import SignInCallback
from mintage.server.site_sessions import SiteSessions
from mintage.server.status_list import StatusListEndpoint, StatusListsEndpoint
from mintage.server.token import TokenEndpoint
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.settings.load import Config
from mintage.site.site import Site
from mintage.stores.protocol import Store
from mintage.upstream.registry import Upstreams
from mintage.values import ClientId, Clock, RandomBytes
from mintage.vault.vault import Vault, forget
from mintage.web.edge import Handler, check_get, for_clients, json_response

_DOCUMENT: Final = {"cache-control": "public, max-age=300", "vary": "accept"}


def page_paths(site: Site) -> frozenset[str]:
    """The paths that people open in a browser. Scripts of web pages may not call them."""
    pages = [f"/{endpoint.name}" for endpoint in ENDPOINTS if endpoint.page]
    return frozenset(site.base_path + at for at in (*pages, *site.callbacks))


def page_routes(
    config: Config,
    site: Site,
    pages: Pages,
    *,
    directory: Directory,
    upstreams: Upstreams,
    vault: Vault,
    revoker: UpstreamRevoker,
    clock: Clock,
    random_bytes: RandomBytes,
    emit: Emit,
) -> dict[str, Handler]:
    """The pages of a login, by their names below the issuer."""
    cookie_keys = tuple(map(BoxKey, purpose_keys(config.secrets, "cookie")))
    cookies = Cookies(cookie_keys, site.secure, random_bytes)
    seal = ConsentSeal(cookie_keys, random_bytes)
    start = LoginStart(
        site=site, cookies=cookies, pages=pages, clock=clock, random_bytes=random_bytes
    )
    remembering = Remembering(
        seconds=config.consent.remember_seconds,
        site=site,
        consents=vault.consents,
        cookie=HintCookie(cookies, cookie_keys, site.issuer, random_bytes),
        clock=clock,
        emit=emit,
    )
    pushed = pushed_seal(config, random_bytes)
    authorize = AuthorizeEndpoint(
        site=site,
        directory=directory,
        checks=authorization_checks(config, site, upstreams, random_bytes),
        pushed=pushed,
        is_claimed=vault.is_claimed,
        cookies=cookies,
        seal=seal,
        remembering=remembering,
        start=start,
        pages=pages,
        scope_texts=config.scopes.texts,
        clock=clock,
        random_bytes=random_bytes,
    )
    consent = ConsentEndpoint(
        site=site,
        upstreams=upstreams,
        cookies=cookies,
        seal=seal,
        start=start,
        pages=pages,
        clock=clock,
        emit=emit,
    )
    callbacks: dict[str, Handler] = {
        upstream.callback.lstrip("/"): CallbackEndpoint(
            site=site,
            upstream=upstream,
            vault=vault,
            cookies=cookies,
            remembering=remembering,
            pushed=pushed,
            revoker=revoker,
            allow=config.allow,
            pages=pages,
            clock=clock,
            random_bytes=random_bytes,
            emit=emit,
        )
        for upstream in upstreams
    }
    for_people = callbacks
    if site.account:
        account_cookies = AccountCookies(cookies, site.issuer)
        for_people = _account(
            config,
            site,
            pages,
            callbacks,
            account_cookies,
            remembering,
            directory=directory,
            upstreams=upstreams,
            vault=vault,
            clock=clock,
            random_bytes=random_bytes,
            emit=emit,
        )
    return {
        AUTHORIZE.name: for_browsers(authorize, random_bytes, pages, of_application=True),
        CONSENT.name: for_browsers(consent, random_bytes, pages),
        **{
            path: for_browsers(callback, random_bytes, pages)
            for path, callback in for_people.items()
        },
        **{
            f"{BRANDING.name}/{name}": for_clients(picture(logo), random_bytes)
            for name, logo in pictures(config.branding).items()
        },
    }


def _account(
    config: Config,
    site: Site,
    pages: Pages,
    callbacks: Mapping[str, Handler],
    cookies: AccountCookies,
    remembering: Remembering,
    *,
    directory: Directory,
    upstreams: Upstreams,
    vault: Vault,
    clock: Clock,
    random_bytes: RandomBytes,
    emit: Emit,
) -> dict[str, Handler]:
    """The page of the connected apps, and the *callbacks* with those of its logins."""
    found: dict[str, Handler] = {
        ACCOUNT.name: AccountEndpoint(
            site=site,
            directory=directory,
            upstreams=upstreams,
            vault=vault,
            cookies=cookies,
            remembering=remembering,
            sites=SiteSessions(
                site=site,
                upstreams=upstreams,
                vault=vault,
                cookies=browser_cookies(config, site, random_bytes),
                emit=emit,
            ),
            pages=pages,
            scope_texts=config.scopes.texts,
            clock=clock,
            random_bytes=random_bytes,
        )
    }
    for upstream in upstreams:
        path = upstream.callback.lstrip("/")
        found[path] = SignInCallback(
            otherwise=callbacks[path],
            sign_in=AccountSignIn(
                site=site,
                upstream=upstream,
                cookies=cookies,
                random_bytes=random_bytes,
                emit=emit,
            ),
            upstream=upstream,
            vault=vault,
            allow=config.allow,
            turned_away=forget,
            pages=pages,
            clock=clock,
            random_bytes=random_bytes,
            emit=emit,
        )
    return found


def token_routes(
    site: Site,
    clients: Iterable[Client],
    accepted: Iterable[GrantType],
    *,
    authenticate: Authenticator,
    vault: Vault,
    tokens: Tokens,
    denied: Callable[[ClientId], bool],
    ring: KeyRing | None,
    addresses: KeptAddress,
    proofs: Proofs,
    clock: Clock,
    random_bytes: RandomBytes,
) -> dict[str, Handler]:
    """The endpoints for tokens: issue, revoke, introspect.

    *clients*: the configured ones. *ring*: the keys with which other programs verify.
    """
    revoke = RevokeEndpoint(authenticate=authenticate, vault=vault, tokens=tokens)
    introspect = IntrospectEndpoint(
        authenticate=authenticate,
        vault=vault,
        tokens=tokens,
        responses=IntrospectionResponses(issuer=site.issuer, keys=ring, clock=clock),
        denied=denied,
        resource_servers={
            client.client_id: [site.issuer + path.rstrip("/") for path in client.introspects]
            for client in clients
        },
    )
    proof = ProofOfKey(proofs, f"{site.issuer}/{TOKEN.name}", clock)
    return {
        TOKEN.name: for_clients(
            TokenEndpoint(authenticate, accepted, proof, addresses), random_bytes
        ),
        REVOKE.name: for_clients(revoke, random_bytes),
        INTROSPECT.name: for_clients(introspect, random_bytes),
    }


def logout_routes(
    upstreams: Upstreams, vault: Vault, clock: Clock, random_bytes: RandomBytes
) -> dict[str, Handler]:
    """Where each provider says that a user has logged out there."""
    return {
        logout_path(each.callback).lstrip("/"): for_clients(
            BackchannelLogout(each, vault, clock), random_bytes
        )
        for each in upstreams
    }


def health_routes(
    store: Store,
    upstreams: Upstreams,
    machine: Clock,
    random_bytes: RandomBytes,
    more: Callable[[], Mapping[str, str | float]],
) -> dict[str, Handler]:
    """*machine*: this machine's own clock. *more*: further notes for ``/readyz``."""
    probes: dict[str, Probe] = {"store": lambda: store.load(b"readyz")}
    for upstream in upstreams:
        name = "upstream" if len(upstreams) == 1 else f"upstream {upstream.name}"
        probes[name] = upstream.check

    async def notes() -> Mapping[str, str | float]:
        return {**await look(store, machine), **more()}

    readiness = Readiness(probes, notes)
    return {
        HEALTHZ.name: for_clients(alive, random_bytes),
        READYZ.name: for_clients(readiness, random_bytes),
    }


def registration_routes(
    config: Config,
    client_ids: ClientIds,
    denied: DeniedClients,
    limits: Limits,
    clock: Clock,
    random_bytes: RandomBytes,
    emit: Emit,
) -> dict[str, Handler]:
    endpoint = RegisterEndpoint(
        client_ids=client_ids,
        policy=config.documents,
        clock=clock,
        random_bytes=random_bytes,
        token=config.registration.token,
        denied=denied,
        limit_by_address=limits.registrations_by_address.check,
        limit=limits.registrations.check,
        emit=emit,
    )
    return {REGISTER.name: for_clients(endpoint, random_bytes)}


def document_routes(
    config: Config, site: Site, about: About, ring: KeyRing | None, random_bytes: RandomBytes
) -> dict[str, Handler]:
    """The documents, by their paths. *ring*: the keys with which other programs verify tokens."""
    found = documents(site, config.capabilities)
    if ring is not None:
        found[f"{site.base_path}/{JWKS.name}"] = dict(ring.jwks())
    return {
        path: for_clients(_document(content, about), random_bytes)
        for path, content in found.items()
    }


def status_routes(
    config: Config, site: Site, vault: Vault, ring: KeyRing | None, random_bytes: RandomBytes
) -> dict[str, Handler]:
    """The status list, and the list of all of them. *ring* signs it."""
    if config.status_list is None or vault.status is None or ring is None:
        return {}
    uri, all_lists = (f"{site.issuer}/{each.name}" for each in (STATUS_LIST, STATUS_LISTS))
    listed = StatusListEndpoint(
        slots=vault.status,
        keys=ring,
        issuer=site.issuer,
        uri=uri,
        aggregation_uri=all_lists,
        ttl=config.status_list.ttl,
    )
    return {
        STATUS_LIST.name: for_clients(listed, random_bytes),
        STATUS_LISTS.name: for_clients(StatusListsEndpoint(uri), random_bytes),
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
