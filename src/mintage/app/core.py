"""What the endpoints of one server share: each part is made once, with what it needs."""

from contextlib import AsyncExitStack

import msgspec

from mintage.app.client_denials import ClientDenials, open_denials
from mintage.app.dpop import possession_of, proofs_of
from mintage.app.kept import hold_published, hold_upstream, hold_vault
from mintage.app.lasting import Lasting
from mintage.app.limits import Limits
from mintage.app.opening import access_keys, tokens_of
from mintage.app.secret_needs import SecretNeeds, register_of
from mintage.clients.authentication import Authenticator
from mintage.clients.directory import Directory
from mintage.clients.registration import ClientIds
from mintage.crypto.derivation import purpose_keys
from mintage.crypto.sealing import BoxKey
from mintage.dpop.proofs import Proofs
from mintage.events.listeners import Listeners
from mintage.grant_tokens import Tokens
from mintage.jwt.keyring import KeyRing
from mintage.resource.bearer import Bearer
from mintage.server.about import About
from mintage.server.cookies import Cookies
from mintage.server.pages import Pages
from mintage.server.upstream_revoker import UpstreamRevoker
from mintage.settings.load import Config
from mintage.site.site import Site
from mintage.upstream.protocol import UpstreamClient
from mintage.upstream.registry import Upstreams
from mintage.values import Clock, RandomBytes
from mintage.vault.vault import Vault


class Core(msgspec.Struct, frozen=True, kw_only=True):
    """*others*: the providers of former settings, by issuer and client id.

    *ring*: the keys with which other programs verify access tokens; None: there are none.
    """

    config: Config
    lasting: Lasting
    site: Site
    upstreams: Upstreams
    others: dict[tuple[str, str], UpstreamClient]
    vault: Vault
    tokens: Tokens
    ring: KeyRing | None
    proofs: Proofs
    client_ids: ClientIds
    denials: ClientDenials
    bearer: Bearer
    secret_needs: SecretNeeds
    directory: Directory
    authenticate: Authenticator
    limits: Limits
    cookies: Cookies
    pages: Pages
    about: About

    @property
    def clock(self) -> Clock:
        return self.lasting.clock

    @property
    def random_bytes(self) -> RandomBytes:
        return self.lasting.random_bytes

    @property
    def emit(self) -> Listeners:
        return self.lasting.emit

    @property
    def revoker(self) -> UpstreamRevoker:
        return self.lasting.revoker


async def open_core(config: Config, lasting: Lasting, stack: AsyncExitStack) -> Core:
    """The parts that *config* describes. What must be closed is closed with *stack*."""
    clock, random_bytes, site = lasting.clock, lasting.random_bytes, config.site
    upstreams = Upstreams(
        [(each, await hold_upstream(each, lasting, stack)) for each in config.upstreams],
        reserved=frozenset(each.name for each in config.trusted_issuers),
    )
    others = {
        (each.issuer, each.client_id): await hold_upstream(each, lasting, stack)
        for each in config.others
    }
    stack.push_async_callback(lasting.revoker.drain)
    published = await hold_published(config, lasting, stack)
    vault = await hold_vault(config, lasting, stack)
    stack.push_async_callback(vault.settle)  # a renewal under way may use a provider of here
    tokens = tokens_of(config, clock)
    client_ids = ClientIds(*purpose_keys(config.secrets, "client-id"))
    denials = open_denials(
        config,
        vault,
        lasting.store,
        client_ids,
        clock=clock,
        random_bytes=random_bytes,
        emit=lasting.emit,
    )
    proofs = proofs_of(config)
    possession = await possession_of(config, proofs, lasting, stack)
    register = register_of(config, lasting.store, clock=clock, steady=lasting.steady)
    directory = Directory(
        client_ids,
        {client.client_id: client for client in config.clients},
        published if config.documents.enabled else None,
        register.check_client_key,
        denials.denied,
    )
    pages = Pages(site, config.branding)
    cookie_keys = tuple(map(BoxKey, purpose_keys(config.secrets, "cookie")))
    return Core(
        config=config,
        lasting=lasting,
        site=site,
        upstreams=upstreams,
        others=others,
        vault=vault,
        tokens=tokens,
        ring=access_keys(config),
        proofs=proofs,
        client_ids=client_ids,
        denials=denials,
        bearer=Bearer(tokens, vault, clock, possession, site.hierarchy, denials.denied.covers),
        secret_needs=SecretNeeds(
            config=config, vault=vault, client_ids=client_ids, register=register
        ),
        directory=directory,
        authenticate=Authenticator(
            directory=directory,
            published=published,
            issuer=site.issuer,
            claim=vault.single_use.claim,
            clock=clock,
        ),
        limits=Limits(config.limits, lasting.steady),
        cookies=Cookies(cookie_keys, site.secure, random_bytes),
        pages=pages,
        about=About(site, pages),
    )
