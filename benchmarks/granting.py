"""The grant types beside a login, for `benchmarks.endpoints`: what each of their requests costs.

Assertions and proofs are made while the requests are sent, as clients must: no two are alike.
"""

import secrets
import time
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from benchmarks.bench_client import REDIRECT_URI, VERIFIER, BenchClient, Session, UnexpectedAnswer
from benchmarks.load import Answer, form, request
from mintage.clients.client import CLIENT_CREDENTIALS, DEVICE_CODE, JWT_BEARER
from mintage.crypto.base64url import encode_text
from mintage.grant_tokens import ACCESS_TOKEN_TYPE
from mintage.grants.pkce import s256
from mintage.jwt.asymmetric import public_jwk, signer
from mintage.testing.assertion_issuer import ID_JAG
from mintage.testing.browser import Browser

DEVICES: Final = 24  # that a person approves for one round
POLLED: Final = 200  # codes of devices that nobody approves
BOUND: Final = 8  # logins whose tokens are bound to a key

_SECRET: Final = "the secret of a client of the benchmark 0123456789"
_ENTERPRISE, _PLATFORM = "https://enterprise.example", "https://platform.example"
_TOKEN_EXCHANGE: Final = "urn:ietf:params:oauth:grant-type:token-exchange"
_SETTINGS: Final = """\
tokens_per_machine           = 100000000
pushed_requests_per_address  = 100000000
device_requests_per_address  = 100000000
device_requests              = 100000000
user_codes_per_address       = 100000000
user_codes                   = 100000000
[grant_types.client_credentials]
[grant_types.token_exchange]
[grant_types.device_code]
[grant_types.jwt_bearer]
[[resource]]
path   = "/notes"
scopes = ["tools"]
[[client]]
client_id     = "bot"
client_secret = "file:client.secret"
token_endpoint_auth_method = "client_secret_post"
grant_types   = ["{client_credentials}", "{jwt_bearer}"]
resources     = ["/mcp"]
scopes        = ["tools"]
[[client]]
client_id     = "notes"
client_secret = "file:client.secret"
token_endpoint_auth_method = "client_secret_post"
[client.token_exchange]
resource = "/notes"
[[client.token_exchange.target]]
path   = "/mcp"
scopes = ["tools"]
[[client]]
client_id   = "tv"
grant_types = ["{device_code}", "refresh_token"]
[[trusted_issuer]]
name    = "enterprise"
issuer  = "{enterprise}"
purpose = "id_jag"
jwks    = {{ keys = [{jwk}] }}
[[trusted_issuer]]
name    = "platform"
issuer  = "{platform}"
purpose = "workload"
jwks    = {{ keys = [{jwk}] }}
[[trusted_issuer.rule]]
name      = "job"
claims    = {{ sub = "job" }}
resources = ["/mcp"]
scopes    = ["tools"]
"""


class Key:
    """Signs assertions and proofs (ES256)."""

    def __init__(self) -> None:
        private = ec.generate_private_key(ec.SECP256R1())
        self.jwk = public_jwk(private.public_key())
        self._signer = signer(private)

    def sign(self, head: dict[str, Any], claims: dict[str, Any]) -> str:
        parts = ({"alg": "ES256"} | head, claims)
        data = ".".join(encode_text(msgspec.json.encode(part)) for part in parts)
        return f"{data}.{self._signer.sign(data.encode()).decode()}"


@dataclass
class Granting:
    """The clients of one server. *user*: the client with which people log in there."""

    user: BenchClient
    key: Key
    notes: Session  # a login for /notes, whose server exchanges its token
    pushed: deque[str] = field(default_factory=deque)
    polled: deque[str] = field(default_factory=deque)
    approved: deque[str] = field(default_factory=deque)
    bound: deque[Session] = field(default_factory=deque)

    def for_itself(self) -> bytes:
        return self._asked("bot", grant_type=CLIENT_CREDENTIALS, resource=self.user.resource)

    def for_a_user(self) -> bytes:
        """With an ID-JAG that nobody has used."""
        claims = {
            "client_id": "bot",
            "sub": secrets.token_hex(8),
            "resource": self.user.resource,
            "scope": "tools",
        }
        assertion = self._assertion(ID_JAG, _ENTERPRISE, claims)
        return self._asked("bot", grant_type=JWT_BEARER, assertion=assertion)

    def for_a_workload(self) -> bytes:
        assertion = self._assertion("JWT", _PLATFORM, {"sub": "job"})
        fields = {"grant_type": JWT_BEARER, "assertion": assertion, "resource": self.user.resource}
        return form("/token", self.user.host, fields)

    def exchanging(self) -> bytes:
        return self._asked(
            "notes",
            grant_type=_TOKEN_EXCHANGE,
            subject_token=self.notes.access_token,
            subject_token_type=ACCESS_TOKEN_TYPE,
            resource=self.user.resource,
        )

    def pushing(self) -> bytes:
        fields = {
            "response_type": "code",
            "client_id": self.user.client_id,
            "redirect_uri": REDIRECT_URI,
            "state": secrets.token_urlsafe(16),
            "code_challenge": s256(VERIFIER),
            "code_challenge_method": "S256",
            "resource": self.user.resource,
            "scope": "tools",
        }
        return form("/par", self.user.host, fields)

    def has_pushed(self, answer: Answer) -> None:
        self.pushed.append(answer.json()["request_uri"])

    def authorizing(self) -> bytes:
        query = {"client_id": self.user.client_id, "request_uri": self.pushed.popleft()}
        return request("GET", f"/authorize?{urlencode(query)}", self.user.host)

    def asking_for_a_code(self) -> bytes:
        fields = {"client_id": "tv", "scope": "tools", "resource": self.user.resource}
        return form("/device_authorization", self.user.host, fields)

    def polling(self, codes: deque[str]) -> bytes:
        fields = {"client_id": "tv", "grant_type": DEVICE_CODE, "device_code": codes.popleft()}
        return form("/token", self.user.host, fields)

    def refreshing_bound(self) -> bytes:
        token = self.bound.popleft().refresh_token
        fields = {
            "client_id": self.user.client_id, "grant_type": "refresh_token", "refresh_token": token
        }  # fmt: skip
        return form("/token", self.user.host, fields, {"dpop": self._proof()})

    def has_refreshed(self, answer: Answer) -> None:
        body = answer.json()
        self.bound.append(Session(body["access_token"], body["refresh_token"]))

    async def prepare(self) -> None:
        """What one round uses up: codes of devices, some of them approved."""
        self.pushed.clear()  # those of the last round have expired
        for codes, count in ((self.polled, POLLED), (self.approved, DEVICES)):
            for _ in range(count):
                body = await self._sent(self.asking_for_a_code())
                codes.append(body["device_code"])
                if codes is self.approved:
                    await self._approve(body["user_code"])

    async def bind(self) -> None:
        """The logins whose tokens are bound."""
        for _ in range(BOUND):
            data = self.user.redeeming(await self.user.log_in())
            head, _, body = data.partition(b"\r\n\r\n")
            proof = f"\r\ndpop: {self._proof()}\r\n\r\n".encode()
            answer = await self._sent(head + proof + body)
            self.bound.append(Session(answer["access_token"], answer["refresh_token"]))

    async def _approve(self, user_code: str) -> None:
        async with Browser() as browser:
            page = await browser.open(f"{self.user.issuer}/device")
            page = await browser.submit(page, {"user_code": user_code})
            await browser.submit(page, {"decision": "approve"})

    async def _sent(self, data: bytes) -> dict[str, Any]:
        answer = await self.user.send(self.user.port, data)
        if answer.status != 200:
            raise UnexpectedAnswer(answer, data[:40].decode())
        return answer.json()

    def _asked(self, client_id: str, **fields: str) -> bytes:
        credentials = {"client_id": client_id, "client_secret": _SECRET}
        return form("/token", self.user.host, credentials | fields)

    def _assertion(self, typ: str, issuer: str, claims: dict[str, Any]) -> str:
        now = int(time.time())
        usual = {
            "iss": issuer,
            "aud": self.user.issuer,
            "jti": secrets.token_hex(16),
            "iat": now,
            "exp": now + 60,
        }
        return self.key.sign({"typ": typ}, usual | claims)

    def _proof(self) -> str:
        claims = {
            "jti": secrets.token_hex(16),
            "htm": "POST",
            "htu": f"{self.user.issuer}/token",
            "iat": int(time.time()),
        }
        return self.key.sign({"typ": "dpop+jwt", "jwk": self.key.jwk}, claims)


def settings(directory: Path, key: Key) -> str:
    """What a server needs for it, to follow its table ``[limits]``."""
    directory.mkdir(exist_ok=True)
    (directory / "client.secret").touch(mode=0o600)
    (directory / "client.secret").write_text(_SECRET)
    members = ", ".join(f'{name} = "{value}"' for name, value in key.jwk.items())
    return _SETTINGS.format(
        client_credentials=CLIENT_CREDENTIALS,
        jwt_bearer=JWT_BEARER,
        device_code=DEVICE_CODE,
        enterprise=_ENTERPRISE,
        platform=_PLATFORM,
        jwk=f"{{ {members} }}",
    )


async def opened(user: BenchClient, key: Key) -> Granting:
    """For the server of *user*, which has registered."""
    issuer = user.issuer
    notes = BenchClient(issuer, user.port, f"{issuer}/notes", user.client_id)
    session = await notes.redeem(await notes.log_in())
    notes.close()
    granting = Granting(user, key, session)
    await granting.bind()
    return granting
