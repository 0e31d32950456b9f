# mypy: disable-error-code="misc, no-any-return, import-untyped"
"""An OpenID provider made of Authlib's server side: PKCE and nonce are a must, tokens rotate.

Run as ``python -m tests.upstream.providers.authlib_provider SETTINGS`` (JSON).
"""

import json
import sys
import time
from types import SimpleNamespace
from typing import Any

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector, current_token
from authlib.oauth2.rfc6749 import ClientMixin, TokenMixin, grants, list_to_scope, scope_to_list
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7009 import RevocationEndpoint
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oauth2.rfc9207 import IssuerParameter
from authlib.oidc.core import UserInfo
from authlib.oidc.core import grants as oidc
from flask import Flask, Response, jsonify, request
from joserfc import jwk

SETTINGS = json.loads(sys.argv[1])
ISSUER = f"http://127.0.0.1:{SETTINGS['port']}"
KEY = jwk.RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
PERSON = {
    "sub": "alice",
    "email": "alice@corp.example",
    "email_verified": True,
    "name": "Alice Example",
    "groups": ["ops", "staff"],
}
CODES: dict[str, "Code"] = {}
TOKENS: list["Token"] = []


class Client(ClientMixin):
    def get_client_id(self) -> str:
        return str(SETTINGS["client_id"])

    def get_default_redirect_uri(self) -> None:
        return None

    def get_allowed_scope(self, scope: str) -> str:
        known = {"openid", "email", "profile", "offline_access"}
        return list_to_scope([one for one in scope_to_list(scope) if one in known])

    def check_redirect_uri(self, redirect_uri: str) -> bool:
        return bool(redirect_uri == SETTINGS["redirect_uri"])

    def check_client_secret(self, client_secret: str) -> bool:
        return bool(client_secret == SETTINGS["client_secret"])

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == "client_secret_basic"

    def check_response_type(self, response_type: str) -> bool:
        return response_type == "code"

    def check_grant_type(self, grant_type: str) -> bool:
        return grant_type in ("authorization_code", "refresh_token")


class Code(SimpleNamespace):
    def get_redirect_uri(self) -> Any:
        return self.redirect_uri

    def get_scope(self) -> Any:
        return self.scope

    def get_nonce(self) -> Any:
        return self.nonce

    def get_auth_time(self) -> Any:
        return self.auth_time

    def get_acr(self) -> None:
        return None

    def get_amr(self) -> None:
        return None


class Token(TokenMixin):
    def __init__(self, **body: Any) -> None:
        self.body = body
        self.live = True
        self.issued_at = time.time()

    def check_client(self, client: Client) -> bool:
        return True

    def get_scope(self) -> Any:
        return self.body["scope"]

    def get_expires_in(self) -> Any:
        return self.body["expires_in"]

    def is_expired(self) -> bool:
        return bool(time.time() >= self.issued_at + self.get_expires_in())

    def is_revoked(self) -> bool:
        return not self.live

    def get_user(self) -> dict[str, Any]:
        return PERSON

    def get_client(self) -> Client:
        return CLIENT


CLIENT = Client()


class CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)

    def save_authorization_code(self, code: str, request: Any) -> None:
        data = request.payload.data
        CODES[code] = Code(
            code=code,
            redirect_uri=request.payload.redirect_uri,
            scope=request.payload.scope,
            nonce=data.get("nonce"),
            code_challenge=data.get("code_challenge"),
            code_challenge_method=data.get("code_challenge_method"),
            auth_time=int(time.time()),
        )

    def query_authorization_code(self, code: str, client: Client) -> Code | None:
        return CODES.get(code)

    def delete_authorization_code(self, authorization_code: Code) -> None:
        del CODES[authorization_code.code]

    def authenticate_user(self, authorization_code: Code) -> dict[str, Any]:
        return PERSON


class RefreshGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = ("client_secret_basic",)
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, refresh_token: str) -> Token | None:
        return find(refresh_token)

    def authenticate_user(self, refresh_token: Token) -> dict[str, Any]:
        return PERSON

    def revoke_old_credential(self, refresh_token: Token) -> None:
        refresh_token.live = False


class IdTokens(oidc.OpenIDCode):
    def exists_nonce(self, nonce: str, request: Any) -> bool:
        return False

    def get_jwt_config(self, *_: Any) -> dict[str, Any]:
        return {"key": KEY.as_dict(private=True), "alg": "RS256", "iss": ISSUER, "exp": 600}

    def generate_user_info(self, user: dict[str, Any], scope: str) -> UserInfo:
        return UserInfo(**user)


class Revocation(RevocationEndpoint):
    CLIENT_AUTH_METHODS = ("client_secret_basic",)

    def query_token(self, token_string: str, token_type_hint: str | None) -> Token | None:
        return find(token_string)

    def revoke_token(self, token: Token, request: Any) -> None:
        token.live = False


class Bearers(BearerTokenValidator):
    def authenticate_token(self, token_string: str) -> Token | None:
        return find(token_string)


class Issuer(IssuerParameter):
    def get_issuer(self) -> str:
        return ISSUER


def find(text: str) -> Token | None:
    found = (t for t in TOKENS if text in (t.body["access_token"], t.body.get("refresh_token")))
    return next((token for token in found if token.live), None)


def save_token(body: dict[str, Any], request: Any) -> None:
    TOKENS.append(Token(**body))


app = Flask(__name__)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
server = AuthorizationServer(
    app,
    query_client=lambda client_id: CLIENT if client_id == CLIENT.get_client_id() else None,
    save_token=save_token,
)
server.register_grant(CodeGrant, [IdTokens(require_nonce=True), CodeChallenge(required=True)])
server.register_grant(RefreshGrant)
server.register_endpoint(Revocation)
server.register_extension(Issuer())
protect = ResourceProtector()
protect.register_token_validator(Bearers())


@app.get("/.well-known/openid-configuration")
def discovery() -> Response:
    return jsonify(
        issuer=ISSUER,
        authorization_endpoint=f"{ISSUER}/authorize",
        token_endpoint=f"{ISSUER}/token",
        jwks_uri=f"{ISSUER}/jwks",
        userinfo_endpoint=f"{ISSUER}/userinfo",
        revocation_endpoint=f"{ISSUER}/revoke",
        authorization_response_iss_parameter_supported=True,
    )


@app.get("/jwks")
def jwks() -> Response:
    return jsonify(keys=[KEY.as_dict(private=False)])


@app.route("/authorize", methods=["GET", "POST"])
def authorize() -> Any:
    """A login form; who fills it in agrees."""
    grant = server.get_consent_grant(end_user=PERSON)
    if request.method == "GET":
        return '<form method="post"><input name="password"></form>'
    user = PERSON if request.form["password"] == SETTINGS["password"] else None
    return server.create_authorization_response(grant=grant, grant_user=user)


@app.post("/token")
def token() -> Any:
    return server.create_token_response()


@app.post("/revoke")
def revoke() -> Any:
    return server.create_endpoint_response("revocation")


@app.get("/userinfo")
@protect()  # type: ignore[untyped-decorator]
def userinfo() -> Response:
    return jsonify(current_token.get_user())


if __name__ == "__main__":
    app.run("127.0.0.1", SETTINGS["port"])
