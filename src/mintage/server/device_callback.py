"""The way back from the provider to ``/device``: the grant that the device waits for is made."""

from collections.abc import Callable
from typing import ClassVar
from urllib.parse import quote

import msgspec
from msgspec.structs import replace
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from mintage.errors import Exists
from mintage.events.event import Emit, Party, Subject, ignore
from mintage.events.logins import LoggedIn, Purpose
from mintage.grants.handles import grant_id, store_key
from mintage.grants.states import Consent, Identity
from mintage.server.device import device_login, device_path
from mintage.server.device_session import DeviceCookies, DeviceLogin
from mintage.server.login_errors import DeviceCodeEnded
from mintage.server.pages import Pages
from mintage.server.sign_in import Arrival
from mintage.site.site import Site
from mintage.upstream.protocol import LoginRequest
from mintage.upstream.registry import RegisteredUpstream
from mintage.values import ClientId
from mintage.vault.device_grants import DeviceGrants
from mintage.web.edge import NO_STORE


class DeviceSignIn(msgspec.Struct, frozen=True, kw_only=True):
    """What follows a login that a person began at ``/device``. See `SignIn`.

    *check_client* refuses a client that was denied since it asked.
    """

    site: Site
    upstream: RegisteredUpstream
    devices: DeviceGrants
    check_client: Callable[[ClientId], None]
    cookies: DeviceCookies
    pages: Pages
    emit: Emit = ignore

    purpose: ClassVar[Purpose] = "device"

    def login(self, request: Request, state: str, *, now: int) -> DeviceLogin | None:
        return self.cookies.login.get(request, state, now=now)

    def forget(self, response: Response, _login: DeviceLogin, /) -> None:
        self.cookies.login.clear(response)

    def wanted(self, login: DeviceLogin, /) -> LoginRequest:
        return device_login(login, self.upstream, self.site)

    async def welcome(self, arrival: Arrival[DeviceLogin], /) -> Response:
        login = arrival.login
        wanted = await self.devices.requests.load(login.user_code)
        if wanted is None or arrival.now >= wanted.expires_at:
            raise DeviceCodeEnded(
                "this code has expired, or was answered; begin again at the device",
                reason="device code ended during the login",
            )
        self.check_client(wanted.client_id)
        consent = Consent(
            client_id=wanted.client_id,
            resource=wanted.resource,
            more_resources=wanted.more_resources,
            left_out=wanted.left_out,
            scopes=wanted.scopes,
            identity=arrival.who,
            created_at=arrival.now,
        )
        try:
            await self.devices.approve(wanted, consent, arrival.tokens)
        except Exists:
            raise DeviceCodeEnded(
                "this device was answered already; begin again at the device",
                reason="answered twice",
            ) from None
        await self.devices.requests.remove(login.user_code)
        named = grant_id(store_key(wanted.secret))
        party = replace(self.party(login, arrival.who), grant=named)
        self.emit(LoggedIn(party=party, purpose=self.purpose, scopes=wanted.scopes))
        return self.pages.show(arrival.request, "device_done", approved=True)

    def onward(self, _login: DeviceLogin, /) -> Response:
        return RedirectResponse(device_path(self.site), status_code=303, headers=NO_STORE)

    def again(self, login: DeviceLogin, /) -> str:
        return f"{device_path(self.site)}?user_code={quote(login.user_code)}"

    def with_another_account(self, login: DeviceLogin, /) -> str:
        return self.again(login)

    def party(self, login: DeviceLogin, who: Identity | None, /) -> Party:
        return Party(
            subject=None if who is None else Subject(who.issuer, who.subject),
            client_id=ClientId(login.client_id),
            resource=login.resource,
            provider=self.upstream.name,
        )
