"""An OAuth client and its user's browser in one, for any server that this benchmark drives."""

import html
import re
import secrets
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from benchmarks.load import Answer, Connection, form, request
from mintage.grants.pkce import s256

REDIRECT_URI: Final = "http://127.0.0.1:43117/callback"  # nobody listens: the browser stops there
VERIFIER: Final = "v" * 43
_HIDDEN: Final = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)">')
_ONWARD: Final = re.compile(r'http-equiv="refresh" content="0; url=([^"]*)"')
_MAX_HOPS: Final = 10


class UnexpectedAnswer(Exception):
    """*answer* is none that this client can go on with."""

    def __init__(self, answer: Answer, where: str) -> None:
        super().__init__(f"{answer.status} at {where}: {answer.body[:300]!r}")
        self.answer = answer


@dataclass(slots=True)
class Session:
    """What a client holds of one login."""

    access_token: str = field(repr=False)
    refresh_token: str = field(repr=False)


@dataclass(slots=True)
class BenchClient:
    """*issuer* is what the server calls itself, *port* where this one of its processes listens."""

    issuer: str
    port: int
    resource: str
    client_id: str = ""
    protected: str = "/mcp"
    _connections: dict[int, Connection] = field(default_factory=dict)

    @property
    def host(self) -> str:
        return urlsplit(self.issuer).netloc

    async def register(self) -> None:
        answer = await self.send(self.port, self.registering())
        self.client_id = _expect(answer, 201, "/register").json()["client_id"]

    async def log_in(self) -> str:
        """The whole way, through consent and the provider, to an authorization code."""
        cookies: dict[str, str] = {}
        port, data = self.port, self.authorizing()
        for _ in range(_MAX_HOPS):
            answer = await self.send(port, data)
            for cookie in answer.all(b"set-cookie"):
                name, _, value = cookie.partition(";")[0].partition("=")
                cookies[name] = value
            found = self._next(answer, cookies)
            if isinstance(found, str):
                return found
            port, data = found
        raise UnexpectedAnswer(answer, "a login without end")

    async def redeem(self, code: str) -> Session:
        return self._session(await self.send(self.port, self.redeeming(code)))

    async def refresh(self, session: Session) -> Session:
        return self._session(await self.send(self.port, self.refreshing(session)))

    async def revoke(self, session: Session) -> None:
        _expect(await self.send(self.port, self.revoking(session)), 200, "/revoke")

    async def call(self, session: Session) -> Answer:
        """A request to what is protected."""
        return await self.send(self.port, self.calling(session))

    async def send(self, port: int, data: bytes) -> Answer:
        connection = self._connections.get(port)
        if connection is None or connection.closed:
            connection = self._connections[port] = await Connection.open(port)
        return await connection.send(data)

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()

    def registering(self) -> bytes:
        body = (
            f'{{"client_name": "A client", "redirect_uris": ["{REDIRECT_URI}"],'
            ' "grant_types": ["authorization_code", "refresh_token"],'
            ' "token_endpoint_auth_method": "none"}'
        )
        headers = {"content-type": "application/json"}
        return request("POST", "/register", self.host, headers, body.encode())

    def authorizing(self) -> bytes:
        query = {
            "response_type": "code",
            "client_id": self.client_id,
            "redirect_uri": REDIRECT_URI,
            "state": secrets.token_urlsafe(16),
            "code_challenge": s256(VERIFIER),
            "code_challenge_method": "S256",
            "resource": self.resource,
            "scope": "tools",
        }
        return request("GET", f"/authorize?{urlencode(query)}", self.host)

    def redeeming(self, code: str) -> bytes:
        return self._token(
            grant_type="authorization_code", code=code, code_verifier=VERIFIER,
            redirect_uri=REDIRECT_URI,
        )  # fmt: skip

    def refreshing(self, session: Session) -> bytes:
        return self._token(grant_type="refresh_token", refresh_token=session.refresh_token)

    def revoking(self, session: Session) -> bytes:
        # FastMCP insists on a client_secret, be it empty, which RFC 6749 §3.1 calls absent.
        fields = {
            "client_id": self.client_id, "client_secret": "", "token": session.refresh_token
        }  # fmt: skip
        return form("/revoke", self.host, fields)

    def calling(self, session: Session) -> bytes:
        headers = {"authorization": f"Bearer {session.access_token}"}
        return request("GET", self.protected, self.host, headers)

    def _token(self, **fields: str) -> bytes:
        return form("/token", self.host, {"client_id": self.client_id} | fields)

    def _session(self, answer: Answer) -> Session:
        body: dict[str, Any] = _expect(answer, 200, "/token").json()
        return Session(body["access_token"], body["refresh_token"])

    def _next(self, answer: Answer, cookies: dict[str, str]) -> tuple[int, bytes] | str:
        """(port, request) of the browser's next step; or the code, at the end."""
        sent = {"cookie": "; ".join(f"{name}={value}" for name, value in cookies.items())}
        page = answer.body.decode()
        target = next(iter(answer.all(b"location")), None)
        if target is None and (onward := _ONWARD.search(page)) is not None:
            target = html.unescape(onward[1])
        if target is None:
            if answer.status != 200 or not (fields := dict(_HIDDEN.findall(page))):
                raise UnexpectedAnswer(answer, "a login")
            return self.port, form("/consent", self.host, fields | {"decision": "approve"}, sent)
        parts = urlsplit(target)
        if target.startswith(REDIRECT_URI):
            query = parse_qs(parts.query)
            if "code" not in query:
                raise UnexpectedAnswer(answer, target)
            return query["code"][0]
        port = self.port if parts.netloc == self.host else parts.port
        assert port is not None
        return port, request("GET", f"{parts.path}?{parts.query}", parts.netloc, sent)


def _expect(answer: Answer, status: int, where: str) -> Answer:
    if answer.status != status:
        raise UnexpectedAnswer(answer, where)
    return answer
