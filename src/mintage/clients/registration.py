"""Dynamic registration (RFC 7591) without a table: the ``client_id`` *is* the registration.

It is signed, so the server accepts only what it registered itself, and compressed. There is no
table to fill up, to lose or to migrate (RFC 7591 Appendix A.5.2)::

    "mc2." + base64url( key id(4) + MAC(16) + compressed msgpack(registration, issued at, salt) )

The key id tells an id under a key that is missing here from one that was never issued. Ids that
begin with "mc1." have none.
"""

import hashlib
import hmac
import zlib
from typing import Any, Final

import msgspec

from mintage.clients import metadata
from mintage.clients.client import AUTH_METHODS, DEVICE_CODE, GRANT_TYPES, AuthMethod, Client
from mintage.clients.redirects import RedirectUri
from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.crypto.base64url import decode_text, encode_text
from mintage.errors import InvalidClientMetadata
from mintage.values import ClientId, parse_scope

_PREFIX: Final = "mc2."
_PREFIX_WITHOUT_KEY_ID: Final = "mc1."
_KEY_ID_BYTES: Final = 4
_MAC_BYTES: Final = 16
_MAX_CLIENT_ID: Final = 1200
_MAX_PLAIN: Final = 16 * 1024
_REMEMBERED: Final = 4096
_COMMON: Final = (
    b"com.example.://callback/oauth/callback/auth/callbackhttps://vscode.dev/redirect"
    b"https://claude.ai/api/mcp/auth_callbackhttp://localhost:6274/oauth/callback"
    b"http://localhost:/callbackhttp://127.0.0.1:/callback"
)


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """A client's metadata as this server registers it (RFC 7591 §2)."""

    redirect_uris: tuple[str, ...]
    client_name: str
    token_endpoint_auth_method: AuthMethod
    grant_types: tuple[str, ...]
    scope: str | None = None
    application_type: str | None = None
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    require_pushed_authorization_requests: bool = False
    dpop_bound_access_tokens: bool = False


class _Request(msgspec.Struct, frozen=True):
    """The members that Mintage reads, with the defaults of RFC 7591 §2. It ignores others."""

    redirect_uris: list[str] | None = None
    client_name: str | None = None
    token_endpoint_auth_method: str = "client_secret_basic"  # noqa: S105
    grant_types: tuple[str, ...] = ("authorization_code",)
    response_types: tuple[str, ...] = ("code",)
    scope: str | None = None
    application_type: str | None = None
    jwks: dict[str, Any] | None = None
    jwks_uri: str | None = None
    require_pushed_authorization_requests: bool = False
    dpop_bound_access_tokens: bool = False


class _Stored(msgspec.Struct, frozen=True, array_like=True):
    """What a client_id contains, with small numbers in place of words."""

    redirect_uris: tuple[str, ...]
    client_name: str
    auth_method: int
    refreshable: bool
    scope: str | None
    issued_at: int
    salt: bytes
    jwks: bytes | None = None
    jwks_uri: str | None = None
    pushes: bool = False
    device: bool = False
    redirects: bool = True
    dpop_bound: bool = False


_stored: msgspec.msgpack.Decoder[_Stored] = msgspec.msgpack.Decoder(_Stored)


def parse_registration(body: bytes) -> Registration:
    """The registration in a JSON body, as this server registers it.

    Raises `InvalidClientMetadata` or `InvalidRedirectUri` (RFC 7591 §3.2.2).
    """
    try:
        request = msgspec.convert(_without_nulls(msgspec.json.decode(body)), _Request)
    except msgspec.ValidationError as error:
        said = str(error).replace("`", "'")
        raise InvalidClientMetadata(f"the body must be client metadata: {said}") from None
    except (msgspec.DecodeError, RecursionError):
        raise InvalidClientMetadata("the body must be a JSON object") from None
    method = _auth_method(request)
    keys = metadata.keys_of(method, request.jwks, request.jwks_uri)
    grant_types = metadata.grant_types(request.grant_types, request.response_types)
    needed = metadata.uses_redirects(grant_types)
    uris = metadata.redirect_uris(request.redirect_uris, needed=needed)
    metadata.check_application_type(request.application_type, uris)
    return Registration(
        redirect_uris=uris,
        client_name=metadata.client_name(request.client_name),
        token_endpoint_auth_method=method,
        grant_types=grant_types,
        scope=_scope(request),
        application_type=request.application_type,
        jwks=None if keys.jwks is None else request.jwks,
        jwks_uri=keys.jwks_uri,
        require_pushed_authorization_requests=request.require_pushed_authorization_requests,
        dpop_bound_access_tokens=request.dpop_bound_access_tokens,
    )


def _without_nulls(body: object) -> object:
    """*body* without members that are null: clients send null for what they leave out."""
    if not isinstance(body, dict):
        return body
    return {name: value for name, value in body.items() if value is not None}


def _auth_method(request: _Request) -> AuthMethod:
    for method in AUTH_METHODS:
        if method == request.token_endpoint_auth_method:
            return method
    raise InvalidClientMetadata(
        "token_endpoint_auth_method must be one of: " + ", ".join(AUTH_METHODS)
    )


def _scope(request: _Request) -> str | None:
    try:
        return None if request.scope is None else " ".join(parse_scope(request.scope))
    except ValueError as error:
        raise InvalidClientMetadata(f"correct scope: {error}") from None


class RegisteredClient(msgspec.Struct, frozen=True):
    """A new registration: the client, and what the response tells it."""

    client: Client
    registration: Registration
    issued_at: int

    def response(self) -> dict[str, Any]:
        """The client information response (RFC 7591 §3.2.1)."""
        body: dict[str, Any] = {
            "client_id": self.client.client_id,
            "client_id_issued_at": self.issued_at,
            "redirect_uris": list(self.registration.redirect_uris),
            "client_name": self.registration.client_name,
            "token_endpoint_auth_method": self.registration.token_endpoint_auth_method,
            "grant_types": list(self.registration.grant_types),
            "response_types": ["code"] if self.client.redirect_uris else [],
        }
        for name in ("scope", "application_type", "jwks", "jwks_uri"):
            if (value := getattr(self.registration, name)) is not None:
                body[name] = value
        if self.registration.require_pushed_authorization_requests:
            body["require_pushed_authorization_requests"] = True
        if self.registration.dpop_bound_access_tokens:
            body["dpop_bound_access_tokens"] = True
        if self.client.secret is not None:
            body |= {"client_secret": self.client.secret, "client_secret_expires_at": 0}
        return body


class ClientIds:
    """Makes and reads the client ids of one server.

    *key*: 32 bytes that have no other use. *former*: keys whose client ids are only read.
    """

    def __init__(self, key: bytes, *former: bytes) -> None:
        self._keys = (key, *former)
        self._key_ids = tuple(map(key_id, self._keys))
        self._known: BoundedMemory[str, Client] = BoundedMemory(_REMEMBERED)

    def issue(self, registration: Registration, *, now: int, salt: bytes) -> RegisteredClient:
        """A client id for *registration*; *salt* (8 random bytes) makes it unique.

        Raises `InvalidClientMetadata` if it would be too long.
        """
        stored = _Stored(
            registration.redirect_uris,
            registration.client_name,
            AUTH_METHODS.index(registration.token_endpoint_auth_method),
            "refresh_token" in registration.grant_types,
            registration.scope,
            now,
            salt,
            None if registration.jwks is None else msgspec.json.encode(registration.jwks),
            registration.jwks_uri,
            registration.require_pushed_authorization_requests,
            DEVICE_CODE in registration.grant_types,
            metadata.uses_redirects(registration.grant_types),
            registration.dpop_bound_access_tokens,
        )
        plain = msgspec.msgpack.encode(stored)
        payload = _compress(plain)
        key = self._keys[0]
        client_id = _PREFIX + encode_text(self._key_ids[0] + _signed(key, payload))
        if len(client_id) > _MAX_CLIENT_ID or len(plain) > _MAX_PLAIN:
            raise InvalidClientMetadata("this is too much: register fewer or shorter redirect_uris")
        return RegisteredClient(_client(key, ClientId(client_id), stored), registration, now)

    def read(self, client_id: str) -> Client | None:
        """The client of this id; None if this server did not issue it, or would refuse it today."""
        client = self._known.get(client_id)
        if client is None and (client := self._read(client_id)) is not None:
            self._known[client_id] = client  # what an id means never changes
        return client

    def _read(self, client_id: str) -> Client | None:
        found = _raw(client_id)
        number = None if found is None else self._made_with(*found)
        if found is None or number is None:
            return None
        stored = _stored.decode(_decompress(found[1][_MAC_BYTES:]))
        try:
            return _client(self._keys[number], ClientId(client_id), stored)
        except ValueError:  # a redirect URI that an older version took and this one does not
            return None

    def made_with(self, client_id: str) -> int | None:
        """Which key a client id was made with: 0 is the one in use; None for none of them."""
        found = _raw(client_id)
        return None if found is None else self._made_with(*found)

    def unknown_key(self, client_id: str) -> bytes | None:
        """The id of the key that *client_id* names, if that key is not configured here.

        It is not verified: anyone can write such a client id.
        """
        found = _raw(client_id)
        if found is None or found[0] is None or found[0] in self._key_ids:
            return None
        return found[0]

    def _made_with(self, named: bytes | None, signed: bytes) -> int | None:
        payload = signed[_MAC_BYTES:]
        for number, key in enumerate(self._keys):
            if named in (None, self._key_ids[number]) and hmac.compare_digest(
                signed, _signed(key, payload)
            ):
                return number
        return None


def _client(key: bytes, client_id: ClientId, stored: _Stored) -> Client:
    method: AuthMethod = AUTH_METHODS[stored.auth_method]
    secret = None
    if method in ("client_secret_basic", "client_secret_post"):
        secret = encode_text(_mac(key, b"secret\0", client_id.encode()))
    return Client(
        client_id=client_id,
        name=stored.client_name,
        redirect_uris=tuple(map(RedirectUri, stored.redirect_uris)),
        auth_method=method,
        grant_types=_grant_types(stored),
        secret=secret,
        jwks=stored.jwks,
        jwks_uri=stored.jwks_uri,
        pushes=stored.pushes,
        dpop_bound=stored.dpop_bound,
    )


def _grant_types(stored: _Stored) -> tuple[str, ...]:
    registered = (stored.redirects, stored.refreshable, stored.device)
    return tuple(name for name, on in zip(GRANT_TYPES, registered, strict=True) if on)


def _mac(key: bytes, purpose: bytes, message: bytes) -> bytes:
    return hmac.digest(key, purpose + message, "sha256")


def _signed(key: bytes, payload: bytes) -> bytes:
    return _mac(key, b"id\0", payload)[:_MAC_BYTES] + payload


def _raw(client_id: str) -> tuple[bytes | None, bytes] | None:
    """(id of its key if it names one, MAC and payload) of what may be a client id."""
    if not is_issued_here(client_id) or len(client_id) > _MAX_CLIENT_ID:
        return None
    try:
        raw = decode_text(client_id[len(_PREFIX) :])
    except ValueError:
        return None
    if client_id.startswith(_PREFIX_WITHOUT_KEY_ID):
        return None, raw
    return raw[:_KEY_ID_BYTES], raw[_KEY_ID_BYTES:]


def is_issued_here(client_id: str) -> bool:
    """Whether *client_id* looks like one that Mintage issued, under any secret."""
    return client_id.startswith((_PREFIX, _PREFIX_WITHOUT_KEY_ID))


def key_id(key: bytes) -> bytes:
    """The name of *key* in client ids. It gives no hint of the key."""
    return hashlib.sha256(b"mintage client-id key\0" + key).digest()[:_KEY_ID_BYTES]


def _compress(plain: bytes) -> bytes:
    deflate = zlib.compressobj(9, wbits=-15, zdict=_COMMON)
    return deflate.compress(plain) + deflate.flush()


def _decompress(packed: bytes) -> bytes:
    return zlib.decompressobj(wbits=-15, zdict=_COMMON).decompress(packed, _MAX_PLAIN)
