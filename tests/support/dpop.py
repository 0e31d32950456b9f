"""A client's side of DPoP, made with joserfc: none of it is Mintage's own code."""

import base64
import hashlib
import json
import uuid
import warnings
from dataclasses import dataclass, field
from typing import Any

import httpx2
from joserfc import jwk, jws
from joserfc.errors import SecurityWarning

from mintage.testing.browser import Browser
from mintage.testing.oauth_client import AuthorizationAttempt, OAuthClient
from mintage.values import Clock
from tests.support.client_keys import key

ALGORITHMS = ["ES256", "EdDSA", "Ed25519", "RS256", "PS256"]


def fresh_key(algorithm: str = "ES256") -> jwk.Key:
    """Another key each time."""
    match algorithm:
        case "ES256":
            return jwk.ECKey.generate_key("P-256")
        case "EdDSA" | "Ed25519":
            return jwk.OKPKey.generate_key("Ed25519")
        case _:
            return jwk.RSAKey.generate_key(2048)


def b64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def hash_of(token: str) -> str:
    """``ath`` (RFC 9449 §4.2)."""
    return b64(hashlib.sha256(token.encode()).digest())


def thumbprint_of(one: jwk.Key) -> str:
    """The RFC 7638 thumbprint, by joserfc."""
    return one.thumbprint()


@dataclass
class Prover:
    """Makes proofs with one key, as a client does."""

    algorithm: str = "ES256"
    key: jwk.Key = field(default_factory=key)

    @classmethod
    def fresh(cls, algorithm: str = "ES256") -> "Prover":
        return cls(algorithm, fresh_key(algorithm))

    @property
    def thumbprint(self) -> str:
        return thumbprint_of(self.key)

    def proof(
        self,
        method: str,
        uri: str,
        *,
        now: float,
        token: str | None = None,
        nonce: str | None = None,
        header: dict[str, Any] | None = None,
        signed_by: jwk.Key | None = None,
        **claims: Any,
    ) -> str:
        """A proof. *header* and *claims* replace what they name; None leaves it out."""
        said: dict[str, Any] = {
            "jti": str(uuid.uuid4()), "htm": method, "htu": uri, "iat": int(now),
            "ath": None if token is None else hash_of(token), "nonce": nonce,
        } | claims  # fmt: skip
        shown: dict[str, Any] = {
            "typ": "dpop+jwt", "alg": self.algorithm, "jwk": self.key.as_dict(private=False),
        } | (header or {})  # fmt: skip
        payload = json.dumps({name: value for name, value in said.items() if value is not None})
        members = {name: value for name, value in shown.items() if value is not None}
        return signed(members, payload.encode(), signed_by or self.key)

    def headers(self, method: str, uri: str, token: str, *, now: float, **more: Any) -> Any:
        """``Authorization`` and ``DPoP`` of a request to a resource (RFC 9449 §7.1)."""
        proof = self.proof(method, uri, now=now, token=token, **more)
        return {"authorization": f"DPoP {token}", "dpop": proof}


@dataclass
class BoundClient:
    """An OAuth client that sends a proof with each request. *prover*: None sends none."""

    client: OAuthClient
    clock: Clock
    prover: Prover | None = field(default_factory=Prover.fresh)
    nonce: str | None = None

    def proof(self, method: str, uri: str, **more: Any) -> dict[str, str]:
        """The header of a proof, if this client sends one."""
        if self.prover is None:
            return {}
        asked: dict[str, Any] = {"now": self.clock(), "nonce": self.nonce} | more
        return {"dpop": self.prover.proof(method, uri, **asked)}

    async def token(self, headers: dict[str, str] | None = None, **form: Any) -> httpx2.Response:
        """A token request. *headers* replace the proof's."""
        uri = f"{self.client.issuer}/token"
        sent: dict[str, Any] = {"client_id": self.client.client_id} | form
        if self.client.client_secret is not None:
            sent.setdefault("client_secret", self.client.client_secret)
        shown = self.proof("POST", uri) if headers is None else headers
        return await self.client.http.post(uri, data=sent, headers=shown)

    async def redeem(
        self, login: AuthorizationAttempt, code: str, headers: dict[str, str] | None = None
    ) -> httpx2.Response:
        return await self.token(
            headers,
            grant_type="authorization_code",
            code=code,
            redirect_uri=self.client.redirect_uri,
            code_verifier=login.verifier,
        )

    async def refresh(
        self, refresh_token: str, headers: dict[str, str] | None = None, **form: Any
    ) -> httpx2.Response:
        return await self.token(
            headers, grant_type="refresh_token", refresh_token=refresh_token, **form
        )

    async def tokens(self, browser: Browser, **parameters: str | None) -> dict[str, Any]:
        """Log in, and redeem the code with a proof."""
        login, code = await self.client.log_in(browser, **parameters)
        body: dict[str, Any] = (await self.redeem(login, code)).raise_for_status().json()
        return body

    async def call(
        self, token: str, method: str = "GET", uri: str | None = None, **more: Any
    ) -> httpx2.Response:
        """A request to the resource. *more*: of the proof."""
        at = uri or self.client.resource
        headers = {"authorization": f"DPoP {token}"} | self.proof(
            method, at, **{"token": token} | more
        )
        return await self.client.http.request(method, at, headers=headers)


def signed(header: dict[str, Any], payload: bytes, by: jwk.Key) -> str:
    """A compact JWS of any header, signed by the algorithm that it names."""
    algorithm = jws.JWSRegistry(algorithms=[*ALGORITHMS, "HS256", "ES384", "none"])
    signing = f"{b64(json.dumps(header).encode())}.{b64(payload)}"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SecurityWarning)
        alg = algorithm.get_alg(str(header.get("alg")) if header.get("alg") in ALL else "ES256")
        return f"{signing}.{b64(alg.sign(signing.encode(), by))}"


ALL = [*ALGORITHMS, "HS256", "ES384", "none"]
