"""A user's browser and identity provider without sockets, for a server of `benchmarks.in_memory`.

They take the shortest way through bytes, and count for nothing: what is counted is the server.
"""

import asyncio
import base64
import json
import re
from collections.abc import Mapping
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from joserfc import jwk

from benchmarks.in_memory import Client, request

# What the standard library does for these is done by hand: its steps would be counted.
_TO_QUOTE: Final = {":": "%3A", "/": "%2F"}
FORM: Final = {"content-type": "application/x-www-form-urlencoded"}
_HIDDEN: Final = re.compile(rb'<input type="hidden" name="(\w+)" value="([^"]*)">')
_ONWARD: Final = re.compile(rb'http-equiv="refresh" content="0; url=([^"]*)"')


class Provider:
    """Answers the bytes of each request at once. It believes everything, and keeps nothing.

    *lifetime* (seconds): of its access tokens.
    """

    def __init__(self, issuer: str, client_id: str, *, now: float, lifetime: int = 3600) -> None:
        self._issuer, self._client_id = issuer, client_id
        self._now, self.lifetime = int(now), lifetime
        self._key = ec.generate_private_key(ec.SECP256R1())
        public = jwk.ECKey.import_key(self._key).as_dict(private=False)
        self._number = 0
        self.revoked = asyncio.Event()
        self._documents = {
            b"/.well-known/openid-configuration": {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/jwks",
                "revocation_endpoint": f"{issuer}/revoke",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            },
            b"/jwks": {"keys": [public | {"kid": "one", "alg": "ES256", "use": "sig"}]},
        }

    def __call__(self, data: bytes) -> bytes:
        path, body = data.split(b" ", 2)[1], data.partition(b"\r\n\r\n")[2]
        if path == b"/revoke":
            self.revoked.set()
            return _answer({})
        if path == b"/token":
            return _answer(self._tokens(query_of(body.decode())))
        return _answer(self._documents[path])

    def _tokens(self, form: Mapping[str, str]) -> dict[str, object]:
        self._number += 1
        tokens: dict[str, object] = {
            "access_token": f"{self._number:08}".ljust(1200, "a"),
            "refresh_token": f"{self._number:08}".ljust(800, "r"),
            "token_type": "Bearer",
            "expires_in": self.lifetime,
        }
        # The code is the nonce, so that there is nothing to remember.
        return tokens | ({"id_token": self._id_token(form["code"])} if "code" in form else {})

    def _id_token(self, nonce: str) -> str:
        claims = {
            "iss": self._issuer, "aud": self._client_id, "sub": f"user{self._number:08}",
            "nonce": nonce, "iat": self._now, "exp": self._now + 600,
            "email": "alice@example.com", "email_verified": True,
        }  # fmt: skip
        text = _segment({"alg": "ES256", "kid": "one"}) + b"." + _segment(claims)
        r, s = decode_dss_signature(self._key.sign(text, ec.ECDSA(SHA256())))
        signature = base64.urlsafe_b64encode(r.to_bytes(32, "big") + s.to_bytes(32, "big"))
        return (text + b"." + signature.rstrip(b"=")).decode()


def _segment(content: Mapping[str, object]) -> bytes:
    return base64.urlsafe_b64encode(json.dumps(content).encode()).rstrip(b"=")


def _answer(content: object) -> bytes:
    body = msgspec.json.encode(content)
    head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return head % len(body) + body


async def log_in(client: Client, authorize: Mapping[str, str]) -> str:
    """A new browser's way from *authorize* over the consent and the provider to the code."""
    page = await client.ask(request("GET", f"/authorize?{encoded(authorize)}", {}))
    cookies = _set_cookies(client)
    fields = {name.decode(): value.decode() for name, value in _HIDDEN.findall(page)}
    form = encoded(fields | {"decision": "approve"}).encode()
    page = await client.ask(request("POST", "/consent", FORM | _sent(cookies), form))
    asked = query_of(_onward(page).partition("?")[2])
    cookies |= _set_cookies(client)
    back = encoded({"state": asked["state"], "code": asked["nonce"]})
    await client.ask(request("GET", f"/callback?{back}", _sent(cookies)))
    [location] = [value.decode() for name, value in client.headers if name == b"location"]
    return query_of(location.partition("?")[2])["code"]


def _onward(page: bytes) -> str:
    [found] = _ONWARD.findall(page)
    return str(found.decode().replace("&amp;", "&"))


def encoded(fields: Mapping[str, str]) -> str:
    """A query or form of *fields*, which hold no other reserved characters than a URL's."""
    text = "&".join([f"{name}={value}" for name, value in fields.items()])
    for character, escape in _TO_QUOTE.items():
        text = text.replace(character, escape)
    return text


def query_of(text: str) -> dict[str, str]:
    """The fields of a query or form, each as it is written."""
    return dict([pair.split("=", 1) for pair in text.split("&")])


def _set_cookies(client: Client) -> dict[str, str]:
    set_ = (value.decode() for name, value in client.headers if name == b"set-cookie")
    pairs = (each.partition(";")[0].partition("=") for each in set_)
    return {name: value for name, _, value in pairs}


def _sent(cookies: Mapping[str, str]) -> dict[str, str]:
    return {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
