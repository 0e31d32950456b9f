"""ID-JAGs: asked for at the user's provider, and redeemed at another authorization server. Pure.

An ID-JAG (draft-ietf-oauth-identity-assertion-authz-grant-04) is the provider's signed statement
who the user is, for one client at one authorization server. It is used once.
"""

from typing import Any, Final

import msgspec

from mintage.crypto.base64url import decode_segment
from mintage.errors import MalformedToken, UpstreamMisbehaved, UpstreamRefused
from mintage.grants.states import UpstreamTokens
from mintage.upstream.members import Member, members, text, token
from mintage.upstream.protocol import IdJag

ID_JAG: Final = "urn:ietf:params:oauth:token-type:id-jag"
EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
JWT_BEARER: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LOGIN_TOO_OLD: Final = "login_too_old"
"""The error of a login whose id_token has ended: a new login has one."""
SHORTEST: Final = 300
"""Seconds that an id_token lives at least if the tokens are to be renewed before it ends."""

_ANSWER: Final = (
    Member("access_token", token, needed=True),
    Member("issued_token_type", text, needed=True),
    Member("token_type", text, needed=True),
)


class _End(msgspec.Struct, frozen=True):
    exp: int | float


def id_jag_form(tokens: UpstreamTokens, wanted: IdJag, *, now: int) -> dict[str, str]:
    """The request for an ID-JAG (§4.3 of the draft, RFC 8693 §2.1).

    Raises `UpstreamRefused` if there is no token of the user to send, or it has ended.
    """
    held = tokens.id_token if wanted.subject == "id_token" else tokens.refresh_token
    if wanted.subject == "id_token" and (held is None or now >= end_of(held)):
        raise UpstreamRefused(LOGIN_TOO_OLD, "the login has no id_token any more, or never had one")
    if held is None:
        raise UpstreamRefused("no_refresh_token", "the provider gave none at the login")
    form = {
        "grant_type": EXCHANGE,
        "requested_token_type": ID_JAG,
        "subject_token": held,
        "subject_token_type": f"urn:ietf:params:oauth:token-type:{wanted.subject}",
        "audience": wanted.audience,
    }
    asked = {"resource": wanted.resource, "scope": wanted.scope}
    return form | {name: value for name, value in asked.items() if value is not None}


def read_id_jag(body: dict[str, Any]) -> str:
    """The ID-JAG in an answer. Raises `UpstreamMisbehaved` if it is another kind of token."""
    said = members(body, _ANSWER, of="the answer to a request for an ID-JAG")
    if said["issued_token_type"] != ID_JAG or said["token_type"].lower() != "n_a":
        raise UpstreamMisbehaved("the provider issued another kind of token than an ID-JAG")
    id_jag: str = said["access_token"]
    return id_jag


def redeem_form(assertion: str) -> dict[str, str]:
    """The request for the access token (§4.4 of the draft, RFC 7523 §2.1)."""
    return {"grant_type": JWT_BEARER, "assertion": assertion}


def end_of(id_token: str) -> float:
    """The ``exp`` of a JWT that was verified when it came, in seconds since the epoch."""
    try:
        payload = decode_segment(id_token.split(".")[1].encode())
        return msgspec.json.decode(payload, type=_End).exp
    except (IndexError, MalformedToken, msgspec.DecodeError):
        return 0
