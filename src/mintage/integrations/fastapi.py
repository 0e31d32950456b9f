"""Login for FastAPI: `require`, which also shows in the OpenAPI document of the application.

::

    login = Login.from_file("mintage.toml")
    app = FastAPI()
    app.add_middleware(login.middleware)

    @app.get("/api/me")
    async def me(user: Annotated[User, Depends(require("profile", login=login))]) -> str:
        return user.subject
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from mintage.extras import extra

with extra("server"):
    from starlette.requests import HTTPConnection

from fastapi import FastAPI, Security
from fastapi.openapi.models import HTTPBearer, OAuth2, OAuthFlowAuthorizationCode, OAuthFlows
from fastapi.security.base import SecurityBase

from mintage.endpoints import AUTHORIZE, TOKEN
from mintage.integrations.asgi import Login
from mintage.integrations.starlette import user_of
from mintage.integrations.user import User
from mintage.site.targets import External

__all__ = ["Login", "User", "require", "show_refusals", "user_of"]

_BY_TOKEN: Final = "token"  # noqa: S105  (a name)
_BY_LOGIN: Final = "login"
_TEXT: Final = {"type": "string"}
_BODY: Final = {
    "type": "object",
    "properties": {"error": _TEXT, "error_description": _TEXT},
    "required": ["error", "error_description"],
}
_REFUSALS: Final = {
    "401": "No access token, or one that does not count here (RFC 6750 §3.1)",
    "403": "The access token lacks a scope, or a rule forbids the request (RFC 6750 §3.1)",
}


def require(*scopes: str, login: Login | None = None) -> Callable[..., Awaitable[User]]:
    """A dependency for FastAPI: ``Annotated[User, Depends(require("notes:write", login=login))]``.

    A client whose token lacks a scope gets 403 and the list of scopes to ask for (RFC 6750 §3.1).
    The OpenAPI document lists the scopes of each operation, and the documentation page has a
    button "Authorize".

    Args:
        scopes: The scopes that the endpoint needs. Each is one of the resource's ``scopes`` or
            ``optional_scopes``.
        login: The login of the application. With it the button starts an authorization code flow
            (RFC 6749 §4.1); without it the button asks for a token.

    Returns:
        What ``Depends`` takes. It gives the `User`.
    """
    scheme = _Scheme(login)
    shown = list(dict.fromkeys((*_of_every_request(login), *scopes)))

    async def required(user: Annotated[User, Security(scheme, scopes=shown)]) -> User:
        user.require(*scopes)
        return user

    return required


def show_refusals(app: FastAPI) -> None:
    """Show the responses 401 and 403 in the OpenAPI document of *app*.

    Each operation with `require` gets them. FastAPI lets no dependency do so itself. A response
    that you describe yourself stays as you wrote it.

    Args:
        app: The application.
    """
    of_fastapi = app.openapi

    def openapi() -> dict[str, Any]:
        document = of_fastapi()
        for path in document.get("paths", {}).values():
            for operation in path.values():
                if _needs_user(operation):
                    _add_refusals(operation)
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _needs_user(operation: object) -> bool:
    security = operation.get("security", ()) if isinstance(operation, dict) else ()
    return any({_BY_TOKEN, _BY_LOGIN} & one.keys() for one in security)


def _add_refusals(operation: dict[str, Any]) -> None:
    for status, description in _REFUSALS.items():
        challenge = {"description": "What to ask for, and where", "schema": _TEXT}
        refusal = {
            "description": description,
            "headers": {"WWW-Authenticate": challenge},
            "content": {"application/json": {"schema": _BODY}},
        }
        operation["responses"].setdefault(status, refusal)


class _Scheme(SecurityBase):
    """A security scheme of the document; as a dependency, the user whom the middleware found."""

    def __init__(self, login: Login | None) -> None:
        self.scheme_name = _BY_TOKEN if login is None else _BY_LOGIN
        self.model: Any = HTTPBearer(bearerFormat="JWT") if login is None else _flow(login)

    async def __call__(self, connection: HTTPConnection) -> User:
        return user_of(connection)


def _of_every_request(login: Login | None) -> tuple[str, ...]:
    """The scopes that the middleware asks for, if the application serves one resource."""
    if login is None:
        return ()
    own = [one for one in login.mintage.config.resources if isinstance(one.target, External)]
    return own[0].scopes if len(own) == 1 else ()


def _flow(login: Login) -> OAuth2:
    config = login.mintage.config
    named = [scope for one in config.resources for scope in one.all_scopes]
    token_url = f"{config.issuer}/{TOKEN.name}"
    code = OAuthFlowAuthorizationCode(
        authorizationUrl=f"{config.issuer}/{AUTHORIZE.name}",
        tokenUrl=token_url,
        refreshUrl=token_url,
        scopes={scope: config.scopes.texts.get(scope, "") for scope in named},
    )
    return OAuth2(flows=OAuthFlows(authorizationCode=code))
