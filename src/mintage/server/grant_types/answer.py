"""What both grants end with: the tokens of an opened grant, for one resource."""

from mintage.clients.client import Client
from mintage.site import Site
from mintage.tokens import TokenResponse, Tokens
from mintage.values import Scopes
from mintage.vault.values import Opened


def answer(
    tokens: Tokens,
    site: Site,
    opened: Opened,
    client: Client,
    *,
    resource: str | None,
    scopes: Scopes | None = None,
) -> TokenResponse:
    """A token for *resource* (None: the grant's own) with what of *scopes* means something there.

    *scopes*: None for all that were granted.
    """
    login = opened.grant.login
    named = resource or opened.grant.audience
    wanted = login.scopes if scopes is None else scopes
    target, claims = site.resource(named), {}
    if target is not None:
        if login.more_resources:
            wanted = tuple(scope for scope in wanted if scope in target.all_scopes)
        said = login.identity.claims
        claims = {name: said[name] for name in target.token_claims if name in said}
    return tokens.issue(
        opened,
        resource=named,
        scopes=wanted,
        claims=claims,
        refreshable="refresh_token" in client.grant_types,
    )
