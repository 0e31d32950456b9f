"""What a backend may see of a request: the invariant of every seam. Pure."""

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from tests.seams.requests import CORPUS, FORGED, Odd

Side: TypeAlias = Literal["gateway", "asked", "inside"]

_CLAIMED: Final = {name.replace("-", "_") for name in CORPUS["claimed"]}
_CLAIMED_TOO: Final = {name.replace("-", "_") for name in CORPUS["claimed_at_the_gateway"]}
_OVERRIDES: Final = {"x_http_method_override", "x_http_method", "x_method_override"}
_OUR_COOKIES: Final = ("__Host-mintage-", "mintage-")
_WRAPPED: Final = re.compile(r"=\?base64\?([A-Za-z0-9+/=]*)\?=")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, by which way it went, and the token it had."""

    odd: Odd
    way: str
    side: Side
    token: str


def faults(sent: Sent | None, seen: dict[str, Any]) -> Iterator[str]:
    """What is wrong with what a backend saw. *sent* is None where nobody sent it."""
    if sent is None:
        yield "a request that nobody sent"
        return
    odd, headers = sent.odd, folded(seen["headers"])
    if not odd.user:
        yield "a request without a token"
    if headers.get("x_forwarded_user") != [f"user-{odd.user}"]:
        yield f"the user is {headers.get('x_forwarded_user')}"
    yield from _claims(sent, headers)
    places = set(seen["places"])
    if not places <= {odd.user}:
        yield f"{', '.join(sorted(places))} with a token for {odd.user}"
    if seen["method"] != odd.method or odd.method.upper() == "DELETE":
        yield f"the method {seen['method']}"
    if sent.side != "inside":  # there the pages and the application are one program
        yield from _cookies(odd, seen["cookies"])
    if sent.side == "gateway" and seen["trailers"]:
        yield f"trailers {seen['trailers']}"
    if places == {"mcp"} and seen["method"] == "POST":
        yield from _messages(sent, headers, seen["body"])


def _claims(sent: Sent, headers: dict[str, list[str]]) -> Iterator[str]:
    """Headers that a backend takes for our word, and that the client wrote."""
    claimed = _CLAIMED | _CLAIMED_TOO if sent.side == "gateway" else _CLAIMED
    for name, values in headers.items():
        if name in claimed and FORGED in str(values):
            yield f"the client's {name}"
        if name in _OVERRIDES:
            yield f"another method by {name}"
    if sent.token in str(headers.get("authorization")):
        yield "the client's token"


def folded(headers: list[list[str]]) -> dict[str, list[str]]:
    """The headers by name as CGI reads it, whatever the punctuation."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        plain = re.sub(r"[^a-z0-9]", "_", name.lower().removeprefix("http_"))
        found.setdefault(plain, []).append(value)
    return found


def _cookies(odd: Odd, names: list[str]) -> Iterator[str]:
    """Cookies of our own pages, as a browser sends them (RFC 6265 §5.4).

    With a control, a comma or a letter beyond ASCII in front it is no cookie of ours.
    """
    plain = all(line.isascii() and line.isprintable() and "," not in line for line in odd.lines)
    if plain and any(name.startswith(_OUR_COOKIES) for name in names):
        yield f"cookies of ours: {names}"


def _messages(sent: Sent, headers: dict[str, list[str]], body: str) -> Iterator[str]:
    """The tool "drop" needs a scope that nobody has. A proxy that asks shows no body."""
    named = [_plain(value) for value in headers.get("mcp_name", [])]
    if any("drop" in name for name in named):
        yield f"the tool {named}"
    if sent.side == "asked":
        return
    try:
        first, last = _read(body, first=True), _read(body, first=False)
    except ValueError:
        yield "a message that can't be read"
        return
    for message in (*first, *last):
        params = message.get("params")
        name = params.get("name") if isinstance(params, dict) else None
        if message.get("method") == "tools/call" and name == "drop":
            yield "the tool drop in the body"


def _plain(value: str) -> str:
    wrapped = _WRAPPED.fullmatch(value)
    return base64.b64decode(wrapped[1]).decode("latin-1") if wrapped else value


def _read(body: str, *, first: bool) -> list[dict[str, Any]]:
    """The messages of a body, with the first or the last of members that are given twice.

    Names are read without case, as Go's decoder does.
    """

    def pairs(found: list[tuple[str, Any]]) -> dict[str, Any]:
        lowered = [(name.lower(), value) for name, value in found]
        return dict(reversed(lowered)) if first else dict(lowered)

    read = json.loads(body, object_pairs_hook=pairs)
    messages = read if isinstance(read, list) else [read]
    return [message for message in messages if isinstance(message, dict)]
