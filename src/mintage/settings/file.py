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
from mintage.settings.dpop import DpopSection
from mintage.settings.gateway import GatewaySection
from mintage.settings.grant_types import GrantTypesSection
from mintage.settings.limits import LimitsSection
from mintage.settings.metrics import MetricsSection
from mintage.settings.opentelemetry import OpenTelemetrySection
from mintage.settings.pushed_requests import ParSection
from mintage.settings.resource_section import ResourceSection
from mintage.settings.status_list import StatusListSection
from mintage.settings.trusted_issuers import TrustedIssuerSection
from mintage.settings.upstream_section import UpstreamSection
from mintage.settings.words import guess, names_beside, none_of, words_for
from mintage.vault.values import Lifetimes

_RENAMED: Final = {"contact": "branding.support", "was_the_only_one": "legacy_default"}
_Seconds = Annotated[int, Meta(ge=1, le=10 * 365 * 86400)]


class ScopesSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[scopes]``: how scopes relate, and what they are called."""

    implies: dict[str, tuple[str, ...]] = {}
    """Which scopes a scope includes."""
    upstream: dict[str, tuple[str, ...]] = {}
    """Which scopes to request from the provider when Mintage grants a scope."""
    texts: dict[str, Annotated[str, Meta(min_length=1, max_length=200)]] = {}
    """What a scope allows, in words for the consent page."""


class TokensSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[tokens]``: lifetimes, and the keys of tokens that other programs verify."""

    access_token_lifetime: _Seconds = 3600
    """How many seconds an access token is valid."""
    refresh_token_lifetime: _Seconds = 2_592_000
    """A session ends after so many seconds without use."""
    refresh_grace: Annotated[int, Meta(ge=0, le=3600)] = 60
    """For how many seconds the previous refresh token still gets the same new tokens."""
    signing_key: str | tuple[str, ...] = ()
    """Private keys (PEM) for [access tokens that others verify](how-to/verify-tokens-elsewhere.md):
    where they are, as for `secret`, or a list. The first one signs.
    """

    def lifetimes(self) -> Lifetimes:
        return Lifetimes(
            access=self.access_token_lifetime,
            refresh=self.refresh_token_lifetime,
            grace=self.refresh_grace,
        )


class GrantsSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[grants]``: how many logins a user may have, how long they last, and how long caches do."""

    max_per_user_and_client: Annotated[int, Meta(ge=1, le=1000)] = 20
    """Active logins of one user at one client. A further login ends the oldest."""
    cache_seconds: Annotated[float, Meta(ge=0, le=300)] = 5.0
    """For how many seconds a process may use a grant from memory without reading it again. No
    process accepts a revoked grant for longer than this.
    """
    outage_seconds: Annotated[float, Meta(ge=0, le=3600)] = 30.0
    """For how many more seconds it may do so while the store does not answer; 0: not at all."""
    session_lifetime: _Seconds = 7_776_000
    """A session ends so many seconds after its login, even if the client keeps refreshing. With 90
    days a daily user logs in four times a year, and a forgotten login ends within three months.
    """
    idle_lifetime: _Seconds | None = None
    """A session ends so many seconds after its last refresh. It must be longer than
    `tokens.access_token_lifetime`: [how long a login
    lasts](how-to/end-logins.md#how-long-a-login-lasts).

    Default: as the refresh token
    """
    unanswered_seconds: Annotated[int, Meta(ge=0, le=30 * 86400)] = 14_400
    """For how many seconds a login stays valid while the provider does not say whether it still
    accepts the user. Four hours are longer than the period of a quota and most outages, and shorter
    than a working day for a user who lost access.
    """


class ConsentSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[consent]``: whether users may let Mintage remember what they agreed to."""

    remember_seconds: Annotated[int, Meta(ge=0, le=365 * 86400, multiple_of=86400)] = 0
    """For how long users may let Mintage [leave out the consent page](how-to/remember-consents.md),
    in whole days; 0: never.
    """


class AccountSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[account]``: whether users may see and disconnect their apps at ``/account``."""

    enabled: bool = True
    """Whether users [see and disconnect their apps](how-to/let-users-disconnect-apps.md) at
    `/account`.
    """
    addresses: KeptAddress = "off"
    """What Mintage keeps of the [addresses from which apps get
    tokens](how-to/let-users-disconnect-apps.md#keep-the-addresses): nothing, the network (/24 for
    IPv4, /48 for IPv6), or the whole address.
    """


class File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``mintage.toml``: the settings of one server."""

    issuer: str
    """The public base URL, without a slash at its end. The redirect URI at the provider is this and
    `/callback`.
    """
    resource: tuple[ResourceSection, ...]
    upstream: UpstreamSection | tuple[UpstreamSection, ...] = ()
    store: str = "sqlite://mintage.db"
    """Where Mintage keeps grants: the URL of one of [the stores](#stores), or [where the URL
    is](how-to/give-it-its-secrets.md) if it holds a password.
    """
    secret: str | tuple[str, ...] | None = None
    """[Where the root secret is](how-to/give-it-its-secrets.md): `env:NAME`, `file:PATH`,
    `credential:NAME` or `command:PROGRAM ARGUMENTS`, or a list of them. Each secret has at least 32
    bytes and its own line. Mintage signs and encrypts with the first one, and accepts the others.

    Default: created once
    """
    tokens: TokensSection = TokensSection()
    grants: GrantsSection = GrantsSection()
    grant_types: GrantTypesSection = GrantTypesSection()
    trusted_issuer: tuple[TrustedIssuerSection, ...] = ()
    scopes: ScopesSection = ScopesSection()
    gateway: GatewaySection = GatewaySection()
    server: ServerSection = ServerSection()
    client: tuple[ClientSection, ...] = ()
    registration: RegistrationSection = RegistrationSection()
    cimd: CimdSection = CimdSection()
    allow: tuple[AllowRule, ...] | Literal["everybody"] = ()
    """Rules for [who may log in](how-to/say-who-may-log-in.md), each an `[[allow]]`. `allow =
    "everybody"` says that none is meant.

    Default: everybody, with a warning
    """
    branding: BrandingSection = BrandingSection()
    account: AccountSection = AccountSection()
    consent: ConsentSection = ConsentSection()
    browser: BrowserSection = BrowserSection()
    audit: AuditSection | None = None
    metrics: MetricsSection | None = None
    status_list: StatusListSection | None = None
    opentelemetry: OpenTelemetrySection | None = None
    admin: AdminSection | None = None
    limits: LimitsSection = LimitsSection()
    par: ParSection = ParSection()
    dpop: DpopSection = DpopSection()


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
    if (wrong := _BOUND.fullmatch(sentence)) is not None:
        unit = " (seconds)" if path.endswith("lifetime") else ""
        number = wrong[3].removesuffix(".0")
        return ConfigError(path, f"must be {_KINDS[wrong[1]]}, {_BOUNDS[wrong[2]]} {number}{unit}")
    if (wrong := _KIND.fullmatch(sentence)) is not None:
        return ConfigError(path, f"must be {_KINDS[wrong[1]]}")
    return ConfigError(path or "the file", sentence[:1].lower() + sentence[1:])


_KINDS: Final = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false, without quotes",
    "str": "text in quotes",
}
_BOUNDS: Final = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
_BOUND: Final = re.compile(r"Expected `(int|float)` (>=|<=|>|<) (.+)")
_KIND: Final = re.compile(r"Expected `(int|float|bool|str)(?: \| null)?`, got `\w+`")


def _as_list(path: str, got: str) -> str:
    """How to write a setting that is a list; *got*: the type that was found."""
    if got == "object":
        table = re.sub(r"\[[^]]*\]", "", path)
        return f"there may be several of these tables: write [[{table}]] in place of [{table}]"
    example = '["..."]' if got == "str" else "[...]"
    return f"is a list: write it in brackets, {path.rpartition('.')[2]} = {example}"
