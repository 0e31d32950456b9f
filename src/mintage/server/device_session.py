"""What a browser keeps while its person answers a device: a form's hidden field, and a login."""

import msgspec

from mintage.server.cookies import Cookies
from mintage.server.login_errors import DeviceFormRefused
from mintage.server.page_cookies import PageForm, PageLogin, PageSeal
from mintage.values import Scopes


class DeviceForm(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """For which browser a page was made. *user_code*: what the page asks about; "": for a code."""

    browser: bytes
    expires_at: int
    user_code: str = ""
    upstreams: tuple[str, ...] = ()


class DeviceLogin(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """An approved login on its way to *upstream* and back. *scopes*: of the device's request."""

    state: str
    nonce: str
    code_verifier: str
    expires_at: int
    upstream: str
    user_code: str
    client_id: str
    resource: str
    scopes: Scopes
    choose: bool = False


_logins: msgspec.msgpack.Decoder[DeviceLogin] = msgspec.msgpack.Decoder(DeviceLogin)
_forms: msgspec.msgpack.Decoder[DeviceForm] = msgspec.msgpack.Decoder(DeviceForm)


class DeviceCookies(msgspec.Struct, frozen=True):
    """A browser answers one device at a time."""

    cookies: Cookies
    issuer: str

    @property
    def login(self) -> PageLogin[DeviceLogin]:
        """The login under way."""
        return PageLogin(self._seal, _logins)

    @property
    def form(self) -> PageForm[DeviceForm]:
        """The page's hidden field."""
        return PageForm(self._seal, _forms, DeviceFormRefused)

    @property
    def _seal(self) -> PageSeal:
        return PageSeal(self.cookies, "device", self.issuer)
