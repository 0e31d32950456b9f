"""A provider that costs next to nothing: ``python -m benchmarks.upstream PORT LIFETIME``.

It keeps no state and believes everything. Its access tokens have 1,200 characters and its
refresh tokens 800; both are new at each answer, and good for LIFETIME seconds. What is
protected (``/backend``) is here too, and ``/seen`` counts the token requests.
"""

import json
import secrets
import sys
import time
from collections import Counter
from urllib.parse import parse_qs, parse_qsl, urlencode

import uvicorn
from joserfc import jwk, jws
from starlette.types import Receive, Scope, Send

CLIENT_ID, CLIENT_SECRET = "mintage", "a-secret-of-the-benchmark-upstream-0123456789"
ACCESS_CHARACTERS, REFRESH_CHARACTERS = 1200, 800


class Provider:
    def __init__(self, issuer: str, lifetime: int) -> None:
        self._issuer = issuer
        self._lifetime = lifetime
        self._key = jwk.ECKey.generate_key("P-256", auto_kid=True)
        self._seen: Counter[str] = Counter()
        self._documents: dict[str, object] = {
            "/.well-known/openid-configuration": {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}/authorize",
                "token_endpoint": f"{issuer}/token",
                "jwks_uri": f"{issuer}/jwks",
                "revocation_endpoint": f"{issuer}/revoke",
                "token_endpoint_auth_methods_supported": ["client_secret_post"],
            },
            "/jwks": {"keys": [self._key.as_dict(private=False)]},
            "/backend": {"ok": True},
            "/revoke": {},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = b""
        while (message := await receive()).get("more_body"):
            body += message["body"]
        body += message.get("body", b"")
        status, headers, answer = self._answer(scope["path"], scope["query_string"], body)
        headers = [*headers, (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _answer(
        self, path: str, query: bytes, body: bytes
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        if path == "/authorize":
            return 302, [(b"location", self._approval(query))], b""
        if path == "/token":
            content: object = self._tokens(dict(parse_qsl(body.decode())))
        elif path == "/seen":
            content = self._seen
        else:
            content = self._documents.get(path)
        status = 404 if content is None else 200
        return status, [(b"content-type", b"application/json")], json.dumps(content).encode()

    def _approval(self, query: bytes) -> bytes:
        """Back at once; the code is the nonce, so that there is nothing to remember."""
        asked = parse_qs(query.decode())
        answer = {"state": asked["state"][0], "code": asked.get("nonce", ["none"])[0]}
        return f"{asked['redirect_uri'][0]}?{urlencode(answer)}".encode()

    def _tokens(self, fields: dict[str, str]) -> dict[str, object]:
        self._seen[fields["grant_type"]] += 1
        body: dict[str, object] = {
            "access_token": secrets.token_urlsafe(24).ljust(ACCESS_CHARACTERS, "a"),
            "refresh_token": secrets.token_urlsafe(24).ljust(REFRESH_CHARACTERS, "r"),
            "token_type": "Bearer",
            "expires_in": self._lifetime,
        }
        if "code" in fields:
            body["id_token"] = self._id_token(fields["code"])
        return body

    def _id_token(self, nonce: str) -> str:
        now = int(time.time())
        claims = {
            "iss": self._issuer, "aud": CLIENT_ID, "sub": secrets.token_hex(8), "nonce": nonce,
            "iat": now, "exp": now + 600, "email": "alice@example.com",
        }  # fmt: skip
        header = {"alg": "ES256", "kid": self._key.kid}
        return jws.serialize_compact(header, json.dumps(claims).encode(), self._key)


def serve(port: int, lifetime: int) -> None:
    provider = Provider(f"http://127.0.0.1:{port}", lifetime)
    uvicorn.run(
        provider, host="127.0.0.1", port=port, lifespan="off", log_level="error", access_log=False
    )


if __name__ == "__main__":
    serve(int(sys.argv[1]), int(sys.argv[2]))
