"""The sections ``[[trusted_issuer]]``: whose assertions are accepted in place of a login."""

import re
from collections.abc import Collection, Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from mintage.access.json_pointers import parse_pointer
from mintage.endpoints import TOKEN
from mintage.errors import BadKeySet, ConfigError
from mintage.grants.machines import RESERVED
from mintage.settings.words import none_of
from mintage.site.resource import Resource
from mintage.trust.issuer import ALGORITHMS, Purpose, TrustedIssuer, WorkloadRule
from mintage.trust.keys import fixed_keys
from mintage.trust.workloads import SHARED_ISSUERS, check_pattern
from mintage.upstream.upstream import Upstream
from mintage.urls import check_https, whole_url
from mintage.values import check_scopes

_NAME: Final = re.compile(r"[a-z0-9-]{1,32}")
_JAG_SECONDS: Final = 300
_MOST_JAG_SECONDS: Final = 540  # a logout at the provider is remembered for longer than this
_WORKLOAD_SECONDS: Final = 3_700  # Kubernetes gives tokens of 3607 seconds for an hour
_MOST_SECONDS: Final = 86_400


class WorkloadRuleSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[trusted_issuer.rule]]``: which workloads get tokens, and for what.

    [Let a workload in](how-to/let-a-workload-in.md) has rules for GitHub Actions, Kubernetes and
    SPIFFE.
    """

    name: str
    """Its name, 1 to 32 of `a-z 0-9 -`. The client of its tokens is `workload:ISSUER:NAME`."""
    claims: dict[str, str | tuple[str, ...]]
    """What the assertion must say: a claim, or a JSON pointer to one as `/kubernetes.io/namespace`;
    and one or several values, of which one is enough. A value is compared as a whole. `*` is one
    whole part of letters, digits, `-` and `_` between other characters.
    """
    resources: tuple[str, ...]
    """Paths of the resources for which such a workload may get tokens."""
    scopes: tuple[str, ...] = ()
    """What these tokens may do at most."""


class TrustedIssuerSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[[trusted_issuer]]``: an issuer whose assertions take the place of a login (RFC 7523).

    It needs the table `[grant_types.jwt_bearer]`.
    """

    name: str
    """Its name, 1 to 32 of `a-z 0-9 -`. It is in subjects, so keep it."""
    issuer: str
    """Its URL, exactly as the assertions have it in `iss`."""
    purpose: Purpose
    """What its assertions are: `id_jag`, of users of [an enterprise's
    provider](how-to/let-an-enterprise-manage-access.md), or `workload`, of [programs on a
    platform](how-to/let-a-workload-in.md).
    """
    jwks_uri: str | None = None
    """The https URL of its public keys.

    Default: what its discovery document says
    """
    jwks: dict[str, Any] | None = None
    """Its public keys, as a table (RFC 7517), for an issuer that Mintage can't reach."""
    algorithms: tuple[str, ...] = ("RS256", "PS256", "ES256", "ES384", "EdDSA", "Ed25519")
    """How its assertions may be signed."""
    audience: tuple[str, ...] = ()
    """Whom its assertions may be for. Each must have one of these as its one `aud`. Only for
    `workload`.

    Default: `issuer`, and for `workload` also the URL of the token endpoint
    """
    max_lifetime: Annotated[int, Meta(ge=10, le=_MOST_SECONDS)] | None = None
    """Seconds that an assertion may live, from `iat` to `exp`. For `id_jag` at most 540.

    Default: 300 for `id_jag`, 3700 for `workload`
    """
    single_use: bool | None = None
    """Whether an assertion is accepted once. Always for `id_jag`.

    Default: no for `workload`: a pod reads the same token from its file until that is replaced
    """
    resources: tuple[str, ...] | None = None
    """Paths of the resources to which it may give users access. Only for `id_jag`.

    Default: all
    """
    scopes: tuple[str, ...] | None = None
    """All scopes that it may give. Only for `id_jag`.

    Default: all
    """
    default_scopes: tuple[str, ...] = ()
    """Scopes of a token whose ID-JAG names none. Only for `id_jag`."""
    tenant: str | None = None
    """The one tenant whose ID-JAGs are accepted, if it has several. Only for `id_jag`.

    Default: an ID-JAG that names a tenant is refused
    """
    upstream: str | None = None
    """The provider of `[[upstream]]` that it is, so that its users are the users who log in there.
    Only for `id_jag`.

    Default: the provider that has this issuer
    """
    rule: tuple[WorkloadRuleSection, ...] = ()
    """Which workloads get tokens. Only for `workload`."""


def read_trusted_issuers(
    sections: Sequence[TrustedIssuerSection],
    *,
    on: bool,
    own: str,
    resources: Sequence[Resource],
    upstreams: Sequence[Upstream],
) -> tuple[TrustedIssuer, ...]:
    """The trusted issuers. Raises `ConfigError`.

    *on*: whether there is a table for the grant type. *own*: this server's issuer.
    """
    if bool(sections) != on:
        raise ConfigError(
            "grant_types.jwt_bearer", "goes with [[trusted_issuer]]: write both, or none"
        )
    found: list[TrustedIssuer] = []
    for number, section in enumerate(sections):
        reader = _Reader(section, f"trusted_issuer[{number}]", own, resources, upstreams)
        issuer = reader.read()
        if any(issuer.name == other.name or issuer.issuer == other.issuer for other in found):
            raise ConfigError(f"{reader.key}.issuer", "another one has this name or issuer already")
        found.append(issuer)
    return tuple(found)


class _Reader:
    """Reads one section."""

    def __init__(
        self,
        section: TrustedIssuerSection,
        key: str,
        own: str,
        resources: Sequence[Resource],
        upstreams: Sequence[Upstream],
    ) -> None:
        self.section, self.key, self.own = section, key, own
        self.paths = [resource.path for resource in resources]
        self.known = {scope for resource in resources for scope in resource.all_scopes}
        self.upstreams = upstreams

    def read(self) -> TrustedIssuer:
        self._check_name()
        self._check_keys()
        for algorithm in self.section.algorithms:
            if algorithm not in ALGORITHMS:
                raise self._wrong("algorithms", none_of(algorithm, sorted(ALGORITHMS)))
        if not self.section.algorithms:
            raise self._wrong("algorithms", "is empty")
        return self._id_jag() if self.section.purpose == "id_jag" else self._workload()

    def _id_jag(self) -> TrustedIssuer:
        section = self.section
        for name in ("audience", "rule"):
            if getattr(section, name):
                raise self._wrong(name, 'is only for purpose = "workload"')
        if section.single_use is False:
            raise self._wrong("single_use", "an ID-JAG is always accepted once")
        seconds = section.max_lifetime or _JAG_SECONDS
        if seconds > _MOST_JAG_SECONDS:
            raise self._wrong("max_lifetime", f"may be at most {_MOST_JAG_SECONDS} for an ID-JAG")
        upstream = self._upstream()
        issuer = self._issuer(seconds=seconds, audiences=(self.own,), single_use=True)
        return replace(
            issuer,
            prefix=_prefix(section, upstream),
            identity=issuer.identity if upstream is None else upstream.identity,
            resources=None if section.resources is None else self._paths(section.resources, ""),
            scopes=None if section.scopes is None else self._scopes(section.scopes, "scopes"),
            default_scopes=self._scopes(section.default_scopes, "default_scopes"),
            tenant=section.tenant,
        )

    def _workload(self) -> TrustedIssuer:
        section = self.section
        for name in ("resources", "scopes", "default_scopes", "tenant", "upstream"):
            if getattr(section, name):
                raise self._wrong(name, 'is only for purpose = "id_jag"')
        if not section.rule:
            raise self._wrong("rule", "is missing: without a rule no workload gets a token")
        rules: list[WorkloadRule] = []
        for number, each in enumerate(section.rule):
            rule = self._rule(each, f"rule[{number}]")
            if any(rule.name == other.name for other in rules):
                raise self._wrong(f"rule[{number}].name", "another rule has this name already")
            rules.append(rule)
        issuer = self._issuer(
            seconds=section.max_lifetime or _WORKLOAD_SECONDS,
            audiences=section.audience or (self.own, f"{self.own}/{TOKEN.name}"),
            single_use=bool(section.single_use),
        )
        return replace(issuer, rules=tuple(rules))

    def _issuer(
        self, *, seconds: int, audiences: tuple[str, ...], single_use: bool
    ) -> TrustedIssuer:
        section = self.section
        return TrustedIssuer(
            name=section.name,
            issuer=section.issuer,
            purpose=section.purpose,
            algorithms=section.algorithms,
            audiences=audiences,
            max_seconds=seconds,
            jwks=None if section.jwks is None else msgspec.json.encode(section.jwks),
            jwks_uri=section.jwks_uri,
            single_use=single_use,
        )

    def _rule(self, section: WorkloadRuleSection, at: str) -> WorkloadRule:
        if not _NAME.fullmatch(section.name):
            raise self._wrong(f"{at}.name", "must be 1 to 32 of a-z 0-9 -")
        if not section.claims:
            raise self._wrong(f"{at}.claims", "is empty: it would fit every workload")
        shared = SHARED_ISSUERS.get(self.section.issuer)
        if shared is not None and shared.isdisjoint(section.claims):
            raise self._wrong(
                f"{at}.claims",
                "anybody can get assertions of this issuer: name one of "
                + ", ".join(sorted(shared)),
            )
        return WorkloadRule(
            name=section.name,
            claims={
                name: self._values(name, wanted, at) for name, wanted in section.claims.items()
            },
            resources=self._paths(section.resources, f"{at}."),
            scopes=self._scopes(section.scopes, f"{at}.scopes"),
        )

    def _values(self, name: str, wanted: str | tuple[str, ...], at: str) -> tuple[str, ...]:
        values = (wanted,) if isinstance(wanted, str) else wanted
        try:
            if name.startswith("/"):
                parse_pointer(name)
            for value in values:
                check_pattern(value)
        except ValueError as error:
            raise self._wrong(f"{at}.claims.{name}", str(error)) from None
        if not values:
            raise self._wrong(f"{at}.claims.{name}", "is empty: no workload would fit")
        return values

    def _check_name(self) -> None:
        name = self.section.name
        if not _NAME.fullmatch(name) or name in RESERVED:
            raise self._wrong("name", "must be 1 to 32 of a-z 0-9 -, and no word that is taken")
        if any(name == upstream.name for upstream in self.upstreams if not upstream.legacy_default):
            raise self._wrong("name", "an [[upstream]] has this name already")

    def _check_keys(self) -> None:
        section = self.section
        if section.jwks is not None and section.jwks_uri is not None:
            raise self._wrong("jwks", "give jwks or jwks_uri, not both")
        if section.jwks_uri is not None:
            self._check_url("jwks_uri", section.jwks_uri)
        elif section.jwks is None:
            self._check_url("issuer", section.issuer)
        if section.jwks is not None:
            try:
                fixed_keys(msgspec.json.encode(section.jwks))
            except BadKeySet as error:
                raise self._wrong("jwks", f"can't be used: {error}") from None
        if section.issuer == self.own:
            raise self._wrong("issuer", "is this server: it does not take its own tokens")

    def _check_url(self, name: str, text: str) -> None:
        key = f"{self.key}.{name}"
        check_https(whole_url(text, key, example="https://idp.example.com", query=True), key)

    def _upstream(self) -> Upstream | None:
        """The provider whose users its users are."""
        section = self.section
        if section.upstream is not None:
            named = next((one for one in self.upstreams if one.name == section.upstream), None)
            if named is None:
                names = sorted(one.name for one in self.upstreams)
                raise self._wrong("upstream", none_of(section.upstream, names))
            return named
        same = [one for one in self.upstreams if one.issuer == section.issuer]
        if len(same) > 1:
            raise self._wrong("upstream", "several providers have this issuer: name one")
        return same[0] if same else None

    def _paths(self, paths: tuple[str, ...], at: str) -> tuple[str, ...]:
        if not paths:
            raise self._wrong(f"{at}resources", "is empty: there would be no tokens")
        for path in paths:
            if path not in self.paths:
                raise self._wrong(f"{at}resources", none_of(path, sorted(self.paths)))
        return tuple(dict.fromkeys(paths))

    def _scopes(self, scopes: Collection[str], name: str) -> tuple[str, ...]:
        for scope in scopes:
            if scope not in self.known:
                raise self._wrong(name, none_of(scope, sorted(self.known)))
        return check_scopes(scopes)

    def _wrong(self, name: str, why: str) -> ConfigError:
        return ConfigError(f"{self.key}.{name}", why)


def _prefix(section: TrustedIssuerSection, upstream: Upstream | None) -> str:
    """What is put in front of its users' subjects: as at a login there, if there are logins."""
    if upstream is None:
        return f"{section.name}|"
    return "" if upstream.legacy_default else f"{upstream.name}|"
