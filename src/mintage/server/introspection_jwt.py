"""The response of ``/introspect`` as a signed JWT (RFC 9701), for callers that ask for one.

Such a response proves to others, later, what this server said. It is no access token: its type is
its own, and what the token is valid for is inside ``token_introspection`` alone (§8.1).
"""

from typing import Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.errors import NotAcceptable
from mintage.jwt.jws import sign
from mintage.jwt.keyring import KeyRing
from mintage.values import ClientId, Clock
from mintage.web.edge import NO_STORE, json_response
from mintage.web.preferences import weighted

TYPE: Final = "token-introspection+jwt"
MEDIA_TYPE: Final = f"application/{TYPE}"
_JSON: Final = ("application/json", "application/*", "*/*")


class IntrospectionResponses(msgspec.Struct, frozen=True, kw_only=True):
    """Makes responses. *keys*: what signs; None if the server has no key that others can verify."""

    issuer: str
    keys: KeyRing | None
    clock: Clock

    def wants_signature(self, request: Request) -> bool:
        """Whether the caller is to get a JWT (§4).

        One that takes a JWT and nothing else gets no plain JSON in its place, which it could take
        for signed. Raises `NotAcceptable`.
        """
        said = dict(reversed(weighted(",".join(request.headers.getlist("accept")))))
        signed = said.get(MEDIA_TYPE, 0.0)
        plain = max((said[one] for one in _JSON if one in said), default=0.0)
        if not signed or signed < plain:
            return False
        if self.keys is not None:
            return True
        if not plain:
            raise NotAcceptable(
                "this server signs no introspection responses, because its tokens have no public "
                "key; accept application/json"
            )
        return False

    def make(self, told: dict[str, Any], caller: ClientId, *, signed: bool) -> Response:
        """The response that tells *caller* what *told* says."""
        if not signed or self.keys is None or self.keys.active.signer is None:
            return json_response(told, headers=NO_STORE)
        active = self.keys.active
        payload = {
            "iss": self.issuer,
            "aud": caller,
            "iat": int(self.clock()),
            "token_introspection": told,
        }
        body = sign(
            msgspec.json.encode(payload),
            header=active.header(TYPE),
            signer=self.keys.active.signer,
        )
        return Response(body, headers=NO_STORE, media_type=MEDIA_TYPE)
