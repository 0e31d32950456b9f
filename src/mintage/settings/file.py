"""The whole of ``mintage.toml``: its tables, and what is said about one that does not fit."""

import re
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from mintage.errors import ConfigError
from mintage.grants.admission import AllowRule
from mintage.server.client_address import KeptAddress
from mintage.serving.settings import ServerSection
from mintage.settings.admin import AdminSection
from mintage.settings.audit import AuditSection
from mintage.settings.branding import BrandingSection
from mintage.settings.browser import BrowserSection
from mintage.settings.clients import CimdSection, ClientSection, RegistrationSection
from mintage.settings.gateway import GatewaySection
from mintage.settings.grant_types import GrantTypesSection
from mintage.settings.limits import LimitsSection
from mintage.settings.metrics import MetricsSection
from mintage.settings.opentelemetry import OpenTelemetrySection
from mintage.settings.resource_section import ResourceSection
from mintage.settings.upstream_section import UpstreamSection
from mintage.settings.words import guess, names_beside, none_of, words_for
from mintage.vault.values import Lifetimes

_RENAMED: Final = {"contact": "branding.support", "was_the_only_one": "legacy_default"}
_Seconds = Annotated[int, Meta(ge=1, le=10 * 365 * 86400)]


class ScopesSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[scopes]``: how scopes relate.

    *implies*: the scopes that a scope includes. *upstream*: which scopes to request from the
    provider. *texts*: what it allows, in words for the consent page.
    """

    implies: dict[str, tuple[str, ...]] = {}
    upstream: dict[str, tuple[str, ...]] = {}
    texts: dict[str, Annotated[str, Meta(min_length=1, max_length=200)]] = {}


class TokensSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[tokens]``: lifetimes in seconds, and the keys of tokens that other programs verify."""

    access_token_lifetime: _Seconds = 3600
    refresh_token_lifetime: _Seconds = 2_592_000
    refresh_grace: Annotated[int, Meta(ge=0, le=3600)] = 60
    signing_key: str | tuple[str, ...] = ()

    def lifetimes(self) -> Lifetimes:
        return Lifetimes(
            access=self.access_token_lifetime,
            refresh=self.refresh_token_lifetime,
            grace=self.refresh_grace,
        )


class GrantsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[grants]``: how many logins a user may have, how long they last, and how long caches do.

    *session_lifetime*: seconds from the login to its end, however often it is refreshed.
    *idle_lifetime*: seconds from the last refresh to the end of the login; None: as long as the
    refresh token.
    *unanswered_seconds*: how long a login continues while the provider can't be asked about it.
    """

    max_per_user_and_client: Annotated[int, Meta(ge=1, le=1000)] = 20
    cache_seconds: Annotated[float, Meta(ge=0, le=300)] = 5.0
    outage_seconds: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    session_lifetime: _Seconds = 7_776_000
    idle_lifetime: _Seconds | None = None
    unanswered_seconds: Annotated[int, Meta(ge=0, le=30 * 86400)] = 14_400


class ConsentSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[consent]``: whether users may let Mintage remember what they agreed to.

    *remember_seconds*: for how long, in whole days; 0: every login asks.
    """

    remember_seconds: Annotated[int, Meta(ge=0, le=365 * 86400, multiple_of=86400)] = 0


class AccountSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[account]``: whether users may see and disconnect their apps at ``/account``.

    *addresses*: what is kept of the addresses from which apps get tokens.
    """

    enabled: bool = True
    addresses: KeptAddress = "off"


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    issuer: str
    upstream: UpstreamSection | tuple[UpstreamSection, ...]
    resource: tuple[ResourceSection, ...]
    store: str = "sqlite://mintage.db"
    secret: str | tuple[str, ...] | None = None
    tokens: TokensSection = TokensSection()
    grants: GrantsSection = GrantsSection()
    grant_types: GrantTypesSection = GrantTypesSection()
    scopes: ScopesSection = ScopesSection()
    gateway: GatewaySection = GatewaySection()
    server: ServerSection = ServerSection()
    client: tuple[ClientSection, ...] = ()
    registration: RegistrationSection = RegistrationSection()
    cimd: CimdSection = CimdSection()
    allow: tuple[AllowRule, ...] | Literal["everybody"] = ()
    branding: BrandingSection = BrandingSection()
    account: AccountSection = AccountSection()
    consent: ConsentSection = ConsentSection()
    browser: BrowserSection = BrowserSection()
    audit: AuditSection | None = None
    metrics: MetricsSection | None = None
    opentelemetry: OpenTelemetrySection | None = None
    admin: AdminSection | None = None
    limits: LimitsSection = LimitsSection()


def check_idle_lifetime(file: File) -> None:
    """Raises `ConfigError` if logins would end before their clients refresh them."""
    idle, access = file.grants.idle_lifetime, file.tokens.access_token_lifetime
    if idle is not None and idle <= access:
        raise ConfigError(
            "grants.idle_lifetime",
            f"must be longer than tokens.access_token_lifetime ({access}): a client refreshes when "
            "its access token ends, and only refreshes count as use",
        )


def convert(data: dict[str, Any]) -> File:
    try:
        return msgspec.convert(data, File)
    except msgspec.ValidationError as error:
        raise _named(str(error)) from None


def _named(message: str) -> ConfigError:
    """An error of msgspec, with the key first, as the file spells it."""
    sentence, _, where = message.partition(" - at `$")
    path = where.rstrip("`").lstrip(".").replace("[...]", "")
    if (field := re.search(r"(unknown|required) field `([^`]+)`", sentence)) is not None:
        path = f"{path}.{field[2]}".lstrip(".")
        if field[1] == "required":
            return ConfigError(path, "this setting is missing")
        now = _RENAMED.get(field[2])
        if now is not None:
            return ConfigError(path, f"is called {now} now")
        hint = guess(field[2], names_beside(File, path))
        return ConfigError(path, f"there is no such setting{hint}")
    if (wrong := re.fullmatch(r"Invalid enum value '(.*)'", sentence)) is not None:
        return ConfigError(path, none_of(wrong[1], words_for(File, path)))
    if (
        wrong := re.fullmatch(r"Expected `(?:str \| )?array(?: \| null)?`, got `(\w+)`", sentence)
    ) is not None:
        return ConfigError(path, _as_list(path, wrong[1]))
    return ConfigError(path or "the file", sentence[:1].lower() + sentence[1:])


def _as_list(path: str, got: str) -> str:
    """How to write a setting that is a list; *got*: the type that was found."""
    if got == "object":
        table = re.sub(r"\[[^]]*\]", "", path)
        return f"there may be several of these tables: write [[{table}]] in place of [{table}]"
    example = '["..."]' if got == "str" else "[...]"
    return f"is a list: write it in brackets, {path.rpartition('.')[2]} = {example}"
