"""What the JSON-RPC messages in a request's body ask for, for the rules. Pure.

Some servers ignore the case of names (Go's ``encoding/json``), and all of them act on the body. So
a message that such a server would read differently is refused.
"""

import re
from typing import Any, Final

import msgspec

from mintage.errors import InvalidRequest
from mintage.gateway.json_reading import UnreadableJson, read_json

MAX_MESSAGES: Final = 64  # in one batch
MAX_NAME: Final = 2048  # characters: rules remember how they read a name
_META_REVISION: Final = "io.modelcontextprotocol/protocolVersion"
_ENVELOPE: Final = ("jsonrpc", "id", "method", "params", "result", "error")
_PARAMS: Final = ("name", "uri", "ref", "taskId", "notifications", "_meta")
_NOTIFICATIONS: Final = ("resourceSubscriptions",)
_REF: Final = ("type", "name", "uri")
_METHOD: Final = re.compile(r"[!-~]{1,256}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")

NAMED_BY: Final = {
    "tools/call": "name",
    "prompts/get": "name",
    "resources/read": "uri",
    "resources/subscribe": "uri",
    "resources/unsubscribe": "uri",
}
"""Method → the parameter that says which tool, prompt or resource is meant."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One message. *method* is None for a response of the client to a request of the server.

    *names*: every tool, prompt, resource or task that it names. *id* is None for a notification.
    *revision*: the revision of MCP that the message itself names.
    """

    method: str | None
    names: tuple[str, ...] = ()
    id: str | int | None = None
    revision: str | None = None


def read_messages(body: bytes) -> tuple[Asked, ...]:
    """The messages in *body*: one, or those of a batch.

    Raises `InvalidRequest` for what is not JSON-RPC 2.0, or has two readings.
    """
    try:
        value = read_json(body)
    except UnreadableJson as error:
        raise InvalidRequest(f"the body {error}") from None
    messages = value if isinstance(value, list) else [value]
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise InvalidRequest(f"a batch must hold 1 to {MAX_MESSAGES} messages")
    return tuple(map(_asked, messages))


def _asked(message: object) -> Asked:
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0":
        raise InvalidRequest("the body must be a JSON-RPC 2.0 message or a batch of them")
    _check_spelling(message, _ENVELOPE)
    named = message.get("id")
    if "id" in message and (isinstance(named, bool) or not isinstance(named, str | int)):
        raise InvalidRequest("the id of a message must be a string or an integer")
    if "method" not in message:
        if named is None or ("result" in message) == ("error" in message):
            raise InvalidRequest("a message without a method must be an answer: id and result")
        return Asked(method=None, id=named)
    method = message["method"]
    if not isinstance(method, str) or not _METHOD.fullmatch(method):
        raise InvalidRequest("method must be a string of printable ASCII characters")
    if "result" in message or "error" in message:
        raise InvalidRequest("a message must have a method or a result, not both")
    params = _table(message, "params", _PARAMS)
    return Asked(method=method, names=_names(method, params), id=named, revision=_revision(params))


def _names(method: str, params: dict[str, Any]) -> tuple[str, ...]:
    """All that *params* names. For an unknown method: everything that looks like a name."""
    wanted = NAMED_BY.get(method.lower())
    if wanted is not None and not isinstance(params.get(wanted), str):
        raise InvalidRequest(f"{method} must have the parameter {wanted}, a string")
    ref = _table(params, "ref", _REF)
    subscribed = _table(params, "notifications", _NOTIFICATIONS).get("resourceSubscriptions")
    if subscribed is not None and not isinstance(subscribed, list):
        raise InvalidRequest("resourceSubscriptions must be a list of strings")
    found = [params.get(name) for name in ("name", "uri", "taskId")]
    found += [ref.get("name"), ref.get("uri"), *(subscribed or [])]
    names = tuple(dict.fromkeys(name for name in found if name is not None))
    if any(not isinstance(name, str) for name in names):
        raise InvalidRequest("what a message names must be a string")
    if any(len(name) > MAX_NAME for name in names):
        raise InvalidRequest(f"what a message names must be at most {MAX_NAME} characters")
    if any(_CONTROL.search(name) for name in names):
        raise InvalidRequest("what a message names must hold no control characters")
    return names


def _revision(params: dict[str, Any]) -> str | None:
    meta = params.get("_meta")
    found = meta.get(_META_REVISION) if isinstance(meta, dict) else None
    if found is not None and not isinstance(found, str):
        raise InvalidRequest("the protocol version of a message must be a string")
    return found


def _table(outer: dict[str, Any], name: str, judged: tuple[str, ...]) -> dict[str, Any]:
    """The object called *name* in *outer*; empty if there is none."""
    found = outer.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise InvalidRequest(f"{name} must be an object")
    _check_spelling(found, judged)
    return found


def _check_spelling(table: dict[str, Any], judged: tuple[str, ...]) -> None:
    """Refuse a name that a server which ignores case would take for one that is checked."""
    folded = {name.casefold() for name in judged}
    for name in table:
        if name not in judged and name.casefold() in folded:
            raise InvalidRequest(
                "write the names in a message in their own case: method, params, name",
                reason=f"a message holds {name!r}, which some servers read as {name.casefold()!r}",
            )
