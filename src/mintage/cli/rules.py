"""``mintage rules explain``: which rule decides about a request, and why."""

from typing import Annotated, Any, Final, TypeAlias
from urllib.parse import urlsplit

from cyclopts import Parameter
from rich.console import Console

from mintage.access.rule_explanation import explain as explained
from mintage.access.scopes import Call
from mintage.cli.settings_file import SettingsFile
from mintage.cli.terminal import harmless
from mintage.cli.token_inspect import READS_STANDARD_INPUT, standard_input
from mintage.errors import ConfigError, InvalidRequest
from mintage.gateway.paths import Match, route
from mintage.jwt.inspection import payload_of
from mintage.settings.load import Outline, load_outline
from mintage.settings.reading import HERE
from mintage.site.resource import Resource

_Words: TypeAlias = tuple[str, ...]
_CALLS: Final = "tools/call"


def explain(
    path: Annotated[str, Parameter(help="The path of the request, like /mcp/admin.")],
    /,
    *,
    config: SettingsFile = HERE,
    method: Annotated[str | None, Parameter(help="The HTTP method.")] = None,
    mcp_method: Annotated[str | None, Parameter(help="The MCP method, like tools/list.")] = None,
    name: Annotated[str | None, Parameter(help="The tool, prompt or URI that is named.")] = None,
    scope: Annotated[_Words, Parameter(help="A scope of the token; repeat it.", negative="")] = (),
    claim: Annotated[
        _Words, Parameter(help="A claim of the user, as groups=ops; repeat it.", negative="")
    ] = (),
    token: Annotated[
        str | None,
        READS_STANDARD_INPUT,
        Parameter(help="Take scopes and claims from this token; - reads it from standard input."),
    ] = None,
) -> int:
    """Say which rule decides about a request, and why.

    Nothing is sent, and no secret is needed. A token is not verified: use `mintage token inspect`
    for that. It holds only the claims of its resource's token_claims. Exit code 1 if the request
    is refused.
    """
    settings = load_outline(config)
    resource, below = _found(settings, path)
    if name is not None and mcp_method is None:
        mcp_method = _CALLS
    if method is None:
        method = "GET" if mcp_method is None else "POST"
    granted, claims = (scope, _claims(claim)) if token is None else _of_token(token)
    call = Call(method=method, path=below).naming(mcp_method, () if name is None else (name,))
    found = explained(
        resource.scopes,
        resource.rules,
        call,
        granted=granted,
        claims=claims,
        hierarchy=settings.site.hierarchy,
    )
    console = Console(soft_wrap=True)
    console.print(harmless(f"{method} {path} is for the resource {resource.identifier}."))
    for line in found.lines:
        console.print(harmless(line))
    return 0 if found.allowed else 1


def _found(outline: Outline, path: str) -> tuple[Resource, str]:
    """The resource at *path*, and the rest of the path. Raises `ConfigError`."""
    if "://" in path:
        raise ConfigError("PATH", f"is without scheme and host: {urlsplit(path).path or '/'}")
    if not path.startswith("/"):
        raise ConfigError("PATH", f"begins with a slash: /{path}")
    places = {resource.request_path: resource for resource in outline.site.resources}
    try:
        match: Match[Resource] | None = route(path.encode(), places, lambda one: one.ambiguities)
    except InvalidRequest as error:
        raise ConfigError("PATH", f"is refused with 400: {error.advice}") from None
    if match is None:
        raise ConfigError("PATH", f"no resource is there; there are: {', '.join(sorted(places))}")
    return match.target, match.rest


def _claims(pairs: _Words) -> dict[str, Any]:
    claims: dict[str, list[str]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ConfigError("--claim", "write it as name=value")
        claims.setdefault(name, []).append(value)
    known: dict[str, Any] = dict(claims)
    if "email" in known:  # said by the operator, who knows
        known |= {"email": claims["email"][0], "email_verified": True}
    return known


def _of_token(token: str) -> tuple[tuple[str, ...], dict[str, Any]]:
    text = (standard_input() if token == "-" else token).strip()  # noqa: S105
    payload = payload_of(text)
    scopes, told = payload.get("scope"), payload.get("upstream_claims")
    claims = told if isinstance(told, dict) else {}
    if "email" in claims:  # a token holds none that is not verified
        claims = claims | {"email_verified": True}
    return tuple(scopes.split()) if isinstance(scopes, str) else (), claims
