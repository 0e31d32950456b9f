"""The page for operators: what the API's status says, to be read. Nothing can be changed on it."""

import base64
import datetime as dt
import hashlib
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any, Final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response

from mintage.admin.api import Api
from mintage.admin.operators import Operator
from mintage.server.pages import styled
from mintage.site.branding import Branding

_MORE_STYLE: Final = files(__package__).joinpath("page.css").read_text(encoding="utf-8")
_ROWS: Final = 50
_POLICY: Final = (
    "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


@dataclass(slots=True)
class Page:
    """The page of a server with this *branding*."""

    api: Api
    branding: Branding
    _style: str = field(init=False, repr=False)
    _headers: dict[str, str] = field(init=False, repr=False)
    _templates: Environment = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._style = styled(self.branding.color) + _MORE_STYLE
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        self._headers = {
            "content-security-policy": _POLICY.format(style=digest),
            "x-frame-options": "DENY",
            "referrer-policy": "no-referrer",
            "x-content-type-options": "nosniff",
            "cross-origin-opener-policy": "same-origin",
            "cache-control": "no-store",
            "content-language": "en",
        }
        self._templates = Environment(
            loader=PackageLoader("mintage.admin", "."),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["utc"] = _utc

    async def __call__(self, _: Request, operator: Operator) -> Response:
        running = self.api.running()
        status = await self.api.statuses.of(running)
        described = self.api.described
        grants: list[Any] = []
        clients: list[dict[str, Any]] = []
        more: str | None = None
        if status["store"] == "ok":
            grants, more = await described.page(None, None, after=None, limit=_ROWS)
            clients = await described.clients(running.client_denials)
        html = self._templates.get_template("page.html").render(
            style=Markup(self._style),  # noqa: S704  (it is part of Mintage)
            server_name=self.branding.name or running.site.host,
            operator=operator.name,
            status=status,
            grants=[described.row(grant) for grant in grants],
            more=more is not None,
            clients=clients,
        )
        return Response(html, headers=self._headers, media_type="text/html")


def _utc(seconds: int) -> str:
    moment = dt.datetime.fromtimestamp(seconds, tz=dt.UTC)
    return moment.strftime("%Y-%m-%d %H:%M")
