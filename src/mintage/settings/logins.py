"""What needs a person's login, and so an identity provider.

A server for machines alone has no ``[upstream]``: nobody logs in there.
"""

from collections.abc import Iterator
from typing import Final

from mintage.errors import ConfigError
from mintage.settings.clients import ClientSection
from mintage.settings.file import File
from mintage.settings.grant_types import GrantTypesSection
from mintage.settings.resource_section import ResourceSection

_NEEDS: Final = "needs a login, and there is no [upstream]: add it, or"
_MADE_FROM_THE_PROVIDERS: Final = frozenset({"upstream", "exchange", "id_jag"})
"""What backends get that is made from the user's tokens at the provider."""
_PROVIDERS_TOKEN: Final = "gets_the_users_access_token_at_the_identity_provider"  # noqa: S105


def check_logins(file: File) -> None:
    """Raise `ConfigError` if *file* has no ``[upstream]``, and a setting that needs a login."""
    if file.upstream:
        return
    for key, why in _needing_one(file):
        raise ConfigError(key, why)


def has_use_for_documents(file: File) -> bool:
    """Whether a client with a metadata document could get a token: by a login or an ID-JAG."""
    return bool(file.upstream) or any(one.purpose == "id_jag" for one in file.trusted_issuer)


def _needing_one(file: File) -> Iterator[tuple[str, str]]:
    """Each setting that needs a login, with what to do."""
    yield from _of_grant_types(file.grant_types)
    for number, resource in enumerate(file.resource):
        yield from _of_resource(resource, f"resource[{number}]")
    for number, client in enumerate(file.client):
        yield from _of_client(client, f"client[{number}]")
    for number, issuer in enumerate(file.trusted_issuer):
        if issuer.upstream is not None:
            yield f"trusted_issuer[{number}].upstream", f"{_NEEDS} remove this setting"


def _of_grant_types(section: GrantTypesSection) -> Iterator[tuple[str, str]]:
    if section.device_code is not None:
        yield "grant_types.device_code", f"{_NEEDS} remove this table"
    if section.client_credentials is None and section.jwt_bearer is None:
        why = (
            "is missing: name the identity provider where people log in. Only a server for "
            "machines needs none: it has [grant_types.client_credentials] or "
            "[grant_types.jwt_bearer]"
        )
        yield "upstream", why


def _of_resource(section: ResourceSection, key: str) -> Iterator[tuple[str, str]]:
    if section.browser:
        yield f"{key}.browser", f"{_NEEDS} remove this setting"
    if section.credential in _MADE_FROM_THE_PROVIDERS:
        why = f'"{section.credential}" {_NEEDS} write "identity" or "none"'
        yield f"{key}.credential", why
    if section.upstreams:
        yield f"{key}.upstreams", f"{_NEEDS} remove this setting"


def _of_client(section: ClientSection, key: str) -> Iterator[tuple[str, str]]:
    if section.redirect_uris and "authorization_code" in section.grant_types:
        own = '["client_credentials"]'
        why = f"authorization_code {_NEEDS} write only what this client uses, such as {own}"
        yield f"{key}.grant_types", why
    rules, setting = section.token_exchange, _PROVIDERS_TOKEN
    if rules is not None and getattr(rules, setting):
        yield f"{key}.token_exchange.{setting}", f"{_NEEDS} remove this setting"
