"""``mintage token issue`` and ``verify``: the issuer and the verifier of the library, by hand."""

import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from cyclopts import Parameter

from mintage.cli.token_inspect import READS_STANDARD_INPUT, standard_input
from mintage.errors import BadKeySet, ConfigError, KeysUnavailable, MintageError, TokenError
from mintage.jwt_issuer import JWTIssuer, KeyRing, TokenKey
from mintage.jwt_verifier import JWTVerifier
from mintage.secret_source import resolve

_Issuer: TypeAlias = Annotated[str, Parameter(help="The iss of the token.")]
_Audience: TypeAlias = Annotated[str, Parameter(help="The aud of the token: the resource.")]
_Key: TypeAlias = Annotated[
    str,
    Parameter(
        help="env:NAME, file:PATH or command:PROGRAM: a key of HS256 as it is, or a private key in "
        "PEM. Never the key itself: it would stay in the shell's history."
    ),
]
_PEM: Final = b"-----BEGIN"


class Refused(MintageError):
    """The token is refused. The text is the reason."""


def issue(
    *,
    issuer: _Issuer,
    audience: _Audience,
    key: _Key,
    client_id: Annotated[str, Parameter(help="The client that the token is for.")],
    scope: Annotated[tuple[str, ...], Parameter(help="A scope; repeat it.", negative="")] = (),
    subject: Annotated[str | None, Parameter(help="The user, the claim sub.")] = None,
    expires_in: Annotated[int, Parameter(help="Seconds that it lasts.")] = 3600,
    refresh: Annotated[bool, Parameter(help="A refresh token instead.", negative="")] = False,
) -> int:
    """Issue a token with a key of yours.

    It is what JWTIssuer of the library issues; a server knows no login behind it. Use it to test
    your own API.
    """
    made = _issuer(issuer, audience, key)
    try:
        if refresh:
            token = made.issue_refresh_token(client_id, scope, expires_in=expires_in)
        else:
            token = made.issue_access_token(
                client_id, scope, expires_in=expires_in, subject=subject
            )
    except ValueError as error:
        raise ConfigError("token issue", str(error)) from None
    print(token)  # noqa: T201
    return 0


def verify(
    token: Annotated[
        str, READS_STANDARD_INPUT, Parameter(help="The token; - reads it from standard input.")
    ] = "-",  # noqa: S107
    *,
    issuer: _Issuer,
    audience: _Audience,
    key: Annotated[_Key | None, Parameter(help="env:NAME or file:PATH: the key of HS256.")] = None,
    jwks: Annotated[
        str | None, Parameter(help="The public keys: a file, or the https URL of the issuer's.")
    ] = None,
    refresh: Annotated[bool, Parameter(help="Expect a refresh token.", negative="")] = False,
) -> int:
    """Verify a token's signature, issuer, audience and time, and print its claims.

    Give --key or --jwks. Exit code 1 if the token is refused, with the reason. To learn why a
    server refuses a token, use mintage token inspect.
    """
    text = (standard_input() if token == "-" else token).strip()  # noqa: S105
    if (key is None) == (jwks is None):
        raise ConfigError("token verify", "give either --key or --jwks")
    try:
        if key is not None:
            use = "refresh" if refresh else "access"
            claims = _issuer(issuer, audience, key).verify_token(text, use)
        else:
            claims = asyncio.run(_verifier(issuer, audience, str(jwks)).verify_token(text))
    except (TokenError, KeysUnavailable) as refusal:
        raise Refused(str(refusal)) from None
    _print(claims)
    return 0


def _issuer(issuer: str, audience: str, key: str) -> JWTIssuer:
    secret = resolve(key, key="--key", environ=os.environ, base=Path()).reveal()
    try:
        ring = KeyRing(TokenKey.from_pem(secret)) if secret.startswith(_PEM) else secret
        return JWTIssuer(issuer, audience, ring)
    except ValueError as error:
        raise ConfigError("--key", str(error)) from None


def _verifier(issuer: str, audience: str, jwks: str) -> JWTVerifier:
    try:
        if jwks.startswith("https://"):
            return JWTVerifier(issuer, audience, jwks_url=jwks)
        return JWTVerifier(issuer, audience, jwks=Path(jwks).read_bytes())
    except (OSError, ValueError, BadKeySet, MintageError) as error:
        raise ConfigError("--jwks", str(error)) from None


def _print(claims: Mapping[str, Any]) -> None:
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(claims)).decode() + "\n")
