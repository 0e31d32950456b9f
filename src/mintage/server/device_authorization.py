"""``/device_authorization``: a device asks for a code to show (RFC 8628 §3.1).

This is the one request that stores something for nobody who logged in: a small record, so that the
short user code finds the request. It is bounded by address and in all, and ends by itself.
"""

from collections.abc import Callable, Hashable
from typing import Final
from urllib.parse import quote

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from mintage.clients.advice import check_grant_type
from mintage.clients.authentication import Authenticator
from mintage.clients.client import DEVICE_CODE, Client
from mintage.concurrency.rate_limits import no_limit
from mintage.endpoints import DEVICE
from mintage.errors import Exists, StoreUnavailable
from mintage.grants.devices import USER_CODE_BYTES, make_user_code
from mintage.server.choosing import offered_for
from mintage.server.client_address import kept_address, network_of
from mintage.server.device_codes import DeviceCodes
from mintage.server.requests import resources_of, scopes_of
from mintage.site.site import Site
from mintage.upstream.registry import Upstreams
from mintage.values import Clock, RandomBytes
from mintage.vault.device_requests import DeviceRequest, DeviceRequests
from mintage.web.edge import NO_STORE, authorization_of, json_response, read_form
from mintage.web.forms import Form

_ATTEMPTS: Final = 5  # to find a user code that is free


class DeviceAuthorizationEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """*seconds*: how long a code lasts. *interval*: between two polls.

    *limit_by_address* and *limit* count requests, by network and in all.
    """

    site: Site
    authenticate: Authenticator
    upstreams: Upstreams
    requests: DeviceRequests
    codes: DeviceCodes
    seconds: int
    interval: int
    clock: Clock
    random_bytes: RandomBytes
    limit_by_address: Callable[[Hashable], None] = no_limit
    limit: Callable[[Hashable], None] = no_limit

    async def __call__(self, request: Request) -> Response:
        address = request.client.host if request.client else None
        self.limit_by_address(network_of(address))
        form = await read_form(request)
        client = await self.authenticate(form, authorization_of(request), concerns=None)
        check_grant_type(client, DEVICE_CODE)
        now = int(self.clock())
        secret, device_code = self.codes.make(
            client_id=client.client_id, expires_at=now + self.seconds
        )
        wanted = self._wanted(form, client, secret, kept_address(address, "full"), now)
        self.limit(None)
        user_code = await self._store(wanted)
        page = f"{self.site.issuer}/{DEVICE.name}"
        content = {
            "device_code": device_code,
            "user_code": user_code,
            "verification_uri": page,
            "verification_uri_complete": f"{page}?user_code={quote(user_code)}",
            "expires_in": self.seconds,
            "interval": self.interval,
        }
        return json_response(content, headers=NO_STORE)

    def _wanted(
        self, form: Form, client: Client, secret: bytes, address: str | None, now: int
    ) -> DeviceRequest:
        first, *more = resources_of(form, self.site)
        scopes, left_out = scopes_of(form, (first, *more), client.scopes)
        names = (first.identifier, *(resource.identifier for resource in more))
        offered_for(self.upstreams, names, self.site)
        return DeviceRequest(
            secret=secret,
            client_id=client.client_id,
            client_name=client.name,
            scopes=scopes,
            resource=names[0],
            more_resources=names[1:],
            left_out=left_out,
            address=address,
            created_at=now,
            expires_at=now + self.seconds,
            host=client.host,
            vouched=client.vouched,
        )

    async def _store(self, wanted: DeviceRequest) -> str:
        for _ in range(_ATTEMPTS):
            user_code = make_user_code(self.random_bytes(USER_CODE_BYTES))
            try:
                await self.requests.insert(user_code, wanted)
            except Exists:
                continue
            return user_code
        raise StoreUnavailable("no user code was free")
