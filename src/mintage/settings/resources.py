"""The sections ``[[resource]]`` of ``mintage.toml``: each becomes one `Resource`."""

import os
import re
import shutil
from dataclasses import replace
from pathlib import Path

from mintage.errors import ConfigError
from mintage.gateway.paths import begins_like_ours
from mintage.gateway.trust import trust
from mintage.secret_source import Resolve
from mintage.settings.browser import check_browser
from mintage.settings.gateway import check_header_names
from mintage.settings.id_jag import check_id_jag
from mintage.settings.resource_section import CommandSection, ResourceSection, RuleSection
from mintage.site.resource import Resource, Target
from mintage.site.targets import Command, External, HttpTarget, Limits
from mintage.urls import check_https, whole_url
from mintage.values import check_scopes


def read_resources(
    sections: tuple[ResourceSection, ...],
    *,
    issuer: str,
    base: Path,
    drop_headers: tuple[str, ...] = (),
    resolve: Resolve | None,
) -> tuple[Resource, ...]:
    """The resources of *sections*, in order. Raises `ConfigError`, which names the key.

    File paths are relative to *base*. *drop_headers*: the clients' headers that no backend gets.
    *resolve*: None if no secret may be read. Then commands have none in their environment.
    """
    if not sections:
        raise ConfigError("resource", "at least one [[resource]] is needed")
    seen: set[str] = set()
    found = []
    for number, section in enumerate(sections):
        key = f"resource[{number}]"
        check_path(section.path, f"{key}.path")
        if section.path in seen:
            raise ConfigError(f"{key}.path", "another resource has this path already")
        seen.add(section.path)
        _check_exchange(section, key)
        check_id_jag(section.id_jag, section.credential, key)
        target = _target(section, key, base, drop_headers, resolve)
        _check_scopes(section.scopes, f"{key}.scopes")
        _check_scopes(section.optional_scopes, f"{key}.optional_scopes")
        resource = _resource(section, issuer, target)
        if resource.filter_lists and not resource.reads_mcp:
            raise ConfigError(f"{key}.filter_lists", "needs a rule with mcp_methods or mcp_names")
        check_browser(section, key)
        check_header_names(section.pass_headers or (), f"{key}.pass_headers")
        known = {*section.scopes, *section.optional_scopes}
        for at, rule in enumerate(section.rule):
            _check_rule(rule, known, f"{key}.rule[{at}]")
        found.append(resource)
    return tuple(found)


def _resource(section: ResourceSection, issuer: str, target: Target) -> Resource:
    return Resource(
        path=section.path,
        identifier=issuer + section.path.rstrip("/"),
        scopes=section.scopes,
        optional_scopes=section.optional_scopes,
        name=section.name,
        rules=tuple(rule.rule() for rule in section.rule),
        token_claims=section.token_claims,
        upstreams=section.upstreams,
        ambiguities=frozenset(section.allow_ambiguous_paths_below),
        message_bytes=section.max_message_bytes,
        filter_lists=section.filter_lists,
        trusts_mcp_headers=section.backend_compares_mcp_headers_with_the_body,
        proxy_keeps_tokens=section.let_the_proxy_keep_tokens_of_the_provider,
        credential=section.credential,
        backend_audience=section.backend_audience,
        browser=section.browser,
        browser_scopes=section.browser_scopes,
        browser_origins=section.browser_origins,
        dpop_required=section.dpop == "required",
        exchange=None if section.exchange is None else section.exchange.exchange(),
        id_jag=None if section.id_jag is None else section.id_jag.wanted(),
        target=target,
    )


def _target(
    section: ResourceSection,
    key: str,
    base: Path,
    drop_headers: tuple[str, ...],
    resolve: Resolve | None,
) -> Target:
    if section.command is not None:
        _check_command(section.command, section, f"{key}.command")
    if section.backend is not None:
        return replace(http_target(section, key, base), drop_headers=drop_headers)
    if section.backend_ca is not None or section.backend_certificate is not None:
        raise ConfigError(
            f"{key}.backend", "is missing, but backend_ca or backend_certificate is set"
        )
    return External() if section.command is None else _command(section.command, resolve)


def http_target(section: ResourceSection, key: str, base: Path) -> HttpTarget:
    """The backend of *section*, which has one. Raises `ConfigError` under *key*."""

    def located(path: str | None) -> str | None:
        return None if path is None else str(base.absolute() / path)

    target = HttpTarget.parse(section.backend or "", f"{key}.backend")
    ca, certificate = located(section.backend_ca), located(section.backend_certificate)
    return replace(
        target,
        trust=trust(target, ca=ca, certificate=certificate, key=key),
        limits=Limits(
            connect=section.connect_seconds,
            answer=section.answer_seconds,
            silence=section.silence_seconds,
            requests=section.max_requests,
            requests_per_user=section.max_requests_per_user or -(-section.max_requests // 4),
        ),
        pass_headers=section.pass_headers,
    )


def _command(section: CommandSection, resolve: Resolve | None) -> Command:
    environ = {}
    if resolve is not None:
        environ = {
            name: resolve(spec, f"resource.command.env.{name}")
            for name, spec in section.env.items()
        }
    return Command(
        run=section.run,
        environ=environ,
        max_sessions=section.max_sessions,
        max_sessions_per_user=section.max_sessions_per_user,
        idle_seconds=section.idle_seconds,
    )


def _check_exchange(resource: ResourceSection, key: str) -> None:
    section = resource.exchange
    if section is None and resource.credential == "exchange":
        raise ConfigError(
            f"{key}.exchange",
            'is missing: credential = "exchange" takes the table [resource.exchange], which says '
            "for whom: audience or resource",
        )
    if section is not None and resource.credential != "exchange":
        raise ConfigError(f"{key}.exchange", 'goes with credential = "exchange"')
    if section is None:
        return
    if section.audience is None and section.resource is None:
        raise ConfigError(f"{key}.exchange", "needs an audience or a resource")
    if section.token_endpoint is not None:
        where = f"{key}.exchange.token_endpoint"
        example = "https://login.example.com/token"
        check_https(whole_url(section.token_endpoint, where, example=example), where)


def _check_command(section: CommandSection, resource: ResourceSection, key: str) -> None:
    if resource.backend is not None:
        raise ConfigError(key, "there is a backend already: give one of them")
    if not section.run or not section.run[0]:
        raise ConfigError(f"{key}.run", "is empty: give a program and its arguments")
    if resource.credential not in ("none", "identity"):
        raise ConfigError(
            key.replace("command", "credential"),
            "must be none or identity: a process keeps the credential that it started with",
        )


def check_program(command: Command, key: str) -> None:
    """Raise `ConfigError` under *key* unless the program of *command* is on this machine."""
    path = command.environ.get("PATH")
    places = os.environ.get("PATH") if path is None else os.fsdecode(path.reveal())
    program = command.run[0]
    if shutil.which(program, path=places) is None:
        raise ConfigError(key, f"there is no program {program!r} here, or it may not be run")


def _check_rule(rule: RuleSection, known: set[str], key: str) -> None:
    if not rule.scopes and not rule.claims:
        raise ConfigError(key, "asks for nothing: give scopes or claims")
    if not set(rule.scopes) <= known:
        raise ConfigError(
            f"{key}.scopes", "holds a scope that is neither in scopes nor in optional_scopes"
        )
    if any(not method.isascii() or not method.isupper() for method in rule.methods):
        raise ConfigError(f"{key}.methods", "holds HTTP methods in capitals, like POST")
    if rule.path and not re.fullmatch(r"(/([A-Za-z0-9._~-]+|\*))+", rule.path):
        raise ConfigError(f"{key}.path", "must be like /admin or /users/*/keys")


def check_path(path: str, key: str) -> None:
    """Raise `ConfigError` under *key* if no resource can be at *path*."""
    if path == "/":  # a whole site
        return
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+", path) or re.search(r"/\.{1,2}(/|$)", path):
        raise ConfigError(key, "must be like /mcp: letters, digits, - . _ ~ and single slashes")
    if begins_like_ours(path):
        raise ConfigError(key, "this path is one of the authorization server's own")


def _check_scopes(scopes: tuple[str, ...], key: str) -> None:
    try:
        check_scopes(scopes)
    except ValueError as error:
        raise ConfigError(key, str(error)) from None
    if "offline_access" in scopes:
        raise ConfigError(
            key, "holds offline_access: that asks for a refresh token and is no scope of a resource"
        )
