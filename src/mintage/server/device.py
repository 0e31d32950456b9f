"""``/device``: a person types a device's code, and answers its request (RFC 8628 §3.3).

The page says who asked, from where and when, because somebody else may have sent the code: it is
the person's answer that protects them (§5.4). Every step is a form of this page and this browser.
"""

import logging
from collections.abc import Callable, Hashable, Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response

from mintage.concurrency.rate_limits import no_limit
from mintage.crypto.base64url import encode_text
from mintage.endpoints import DEVICE
from mintage.errors import (
    AccessDenied,
    InvalidRequest,
    MethodNotAllowed,
    OAuthError,
    StoreError,
    UpstreamError,
)
from mintage.events.event import Emit, Party, ignore
from mintage.events.logins import ConsentDenied, ConsentGiven
from mintage.grants.devices import read_user_code
from mintage.partly_shown import PartlyShown
from mintage.server.choosing import offered_for
from mintage.server.client_address import network_of
from mintage.server.cookies import LOGIN_SECONDS, copy_cookies, digest_of
from mintage.server.device_page import device_values
from mintage.server.device_session import DeviceCookies, DeviceForm, DeviceLogin
from mintage.server.login_errors import DeviceCodeEnded
from mintage.server.pages import Pages
from mintage.server.same_site import refuse_other_origins, refuse_other_sites
from mintage.site.site import Site
from mintage.upstream.protocol import LoginParameters, LoginRequest
from mintage.upstream.registry import RegisteredUpstream, Upstreams
from mintage.values import ClientId, Clock, RandomBytes
from mintage.vault.device_grants import DeviceGrants
from mintage.vault.device_requests import DeviceRequest
from mintage.web.edge import failure_of, log_refusal, read_form, read_query
from mintage.web.forms import Form, one, optional

_SHOWN: Final = 40  # characters of a wrong code


class DeviceEndpoint(PartlyShown, frozen=True, kw_only=True):
    """*check_client* refuses a client that was denied since it asked.

    *limit_by_address* and *limit* count the codes that are typed, by network and in all.
    """

    not_shown = ("scope_texts",)

    site: Site
    upstreams: Upstreams
    devices: DeviceGrants
    check_client: Callable[[ClientId], None]
    cookies: DeviceCookies
    pages: Pages
    scope_texts: Mapping[str, str]
    clock: Clock
    random_bytes: RandomBytes
    limit_by_address: Callable[[Hashable], None] = no_limit
    limit: Callable[[Hashable], None] = no_limit
    emit: Emit = ignore

    async def __call__(self, request: Request) -> Response:
        if request.method not in ("GET", "HEAD", "POST"):
            raise MethodNotAllowed("use GET or POST", allow="GET, HEAD, POST")
        try:
            if request.method == "POST":
                return await self._act(request)
            # Nothing is looked up yet: a program that previews links guesses no code.
            typed = read_user_code(optional(read_query(request), "user_code") or "")
            return self._ask_for_code(request, typed or "")
        except (OAuthError, UpstreamError, StoreError) as error:
            failure = failure_of(error, request, self.random_bytes, level=logging.WARNING)
            return self.pages.error(request, failure, retry=device_path(self.site))

    def _ask_for_code(self, request: Request, typed: str, *, wrong: bool = False) -> Response:
        return self._page(request, "", status=400 if wrong else 200, typed=typed, wrong=wrong)

    async def _act(self, request: Request) -> Response:
        form = await read_form(request)
        refuse_other_sites(request, stage="device")
        refuse_other_origins(request, self.site, stage="device")
        sent = self.cookies.form.sent(request, one(form, "form"), now=self._now())
        if not sent.user_code:
            return await self._question(request, one(form, "user_code"))
        wanted = await self._waiting(sent.user_code)
        upstream = optional(form, "upstream")
        # Where there is a choice, the button of a provider means yes, and nothing else is sent.
        match optional(form, "decision") or ("approve" if upstream else one(form, "decision")):
            case "approve":
                return await self._approve(request, form, sent, wanted)
            case "deny":
                return await self._deny(request, sent.user_code, wanted)
            case _:
                raise InvalidRequest("decision must be approve or deny", stage="device")

    async def _question(self, request: Request, typed: str) -> Response:
        address = request.client.host if request.client else None
        self.limit_by_address(network_of(address))
        self.limit(None)
        user_code = read_user_code(typed)
        wanted = None if user_code is None else await self.devices.requests.load(user_code)
        if user_code is None or wanted is None or self._is_over(wanted):
            refusal = InvalidRequest("no device waits with this code", stage="device")
            log_refusal(refusal, request)
            return self._ask_for_code(request, typed[:_SHOWN], wrong=True)
        self.check_client(wanted.client_id)
        names = (wanted.resource, *wanted.more_resources)
        offered = offered_for(self.upstreams, names, self.site)
        values = device_values(
            wanted, offered, self.site, self.scope_texts, now=self._now(), address=address
        )
        return self._page(request, user_code, tuple(one.name for one in offered), **values)

    async def _approve(
        self, request: Request, form: Form, sent: DeviceForm, wanted: DeviceRequest
    ) -> Response:
        chosen = self._chosen(optional(form, "upstream"), sent)
        login = DeviceLogin(
            state=self._random(),
            nonce=self._random(),
            code_verifier=self._random(),
            expires_at=min(self._now() + LOGIN_SECONDS, wanted.expires_at),
            upstream=chosen.name,
            user_code=sent.user_code,
            client_id=wanted.client_id,
            resource=wanted.resource,
            scopes=wanted.scopes,
        )
        url = await chosen.authorization_url(device_login(login, chosen, self.site))
        response = self.pages.onward(request, url, to=chosen.title)
        self.cookies.login.set(response, login)
        self.emit(ConsentGiven(party=_party(wanted, chosen.name), scopes=wanted.scopes))
        return response

    async def _deny(self, request: Request, user_code: str, wanted: DeviceRequest) -> Response:
        if not await self.devices.deny(wanted):
            raise DeviceCodeEnded("this device was answered already", reason="answered twice")
        await self.devices.requests.remove(user_code)
        refusal = AccessDenied("the person denied access to a device", stage="device")
        log_refusal(refusal, request)
        self.emit(ConsentDenied(party=_party(wanted)))
        return self.pages.show(request, "device_done", approved=False)

    async def _waiting(self, user_code: str) -> DeviceRequest:
        wanted = await self.devices.requests.load(user_code)
        if wanted is None or self._is_over(wanted):
            raise DeviceCodeEnded(
                "this code has expired, or was answered; begin again at the device",
                reason="device code ended",
            )
        self.check_client(wanted.client_id)
        return wanted

    def _chosen(self, name: str | None, sent: DeviceForm) -> RegisteredUpstream:
        """The provider that the person chose from those on the page."""
        if name is None and len(sent.upstreams) == 1:
            name = sent.upstreams[0]
        chosen = self.upstreams.find(name or "")
        if chosen is None or name not in sent.upstreams:
            raise InvalidRequest("upstream must be one of those on the page", stage="device")
        return chosen

    def _page(
        self,
        request: Request,
        user_code: str,
        names: tuple[str, ...] = (),
        *,
        status: int = 200,
        typed: str = "",
        wrong: bool = False,
        **values: Any,
    ) -> Response:
        fresh = Response()
        browser = self.cookies.cookies.name_browser(request, fresh)
        form = DeviceForm(
            browser=digest_of(browser),
            expires_at=self._now() + LOGIN_SECONDS,
            user_code=user_code,
            upstreams=names,
        )
        response = self.pages.show(
            request,
            "device_question" if user_code else "device",
            status=status,
            action=device_path(self.site),
            sealed=self.cookies.form.field(form),
            user_code=user_code,
            typed=typed,
            wrong=wrong,
            **values,
        )
        copy_cookies(fresh, response)
        return response

    def _is_over(self, wanted: DeviceRequest) -> bool:
        return self._now() >= wanted.expires_at

    def _now(self) -> int:
        return int(self.clock())

    def _random(self) -> str:
        return encode_text(self.random_bytes(32))


def device_path(site: Site) -> str:
    """The path of the page."""
    return f"{site.base_path}/{DEVICE.name}"


def device_login(login: DeviceLogin, upstream: RegisteredUpstream, site: Site) -> LoginRequest:
    """The login as it is requested from the provider.

    The person chooses the account there: the device gets that one.
    """
    return LoginRequest(
        redirect_uri=site.issuer + upstream.callback,
        state=login.state,
        nonce=login.nonce,
        code_verifier=login.code_verifier,
        parameters=LoginParameters(prompt="select_account"),
        scopes=site.upstream_scopes_for(login.scopes, upstream.upstream.more_scopes),
    )


def _party(wanted: DeviceRequest, provider: str | None = None) -> Party:
    return Party(client_id=wanted.client_id, resource=wanted.resource, provider=provider)
