"""How Mintage authenticates to the provider (RFC 6749 §2.3, RFC 7523 §2.2). Pure."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import quote_plus

import msgspec
from joserfc.errors import JoseError

from mintage.crypto.base64url import encode_text
from mintage.partly_shown import PartlyShown
from mintage.upstream.preset import AuthMethod
from mintage.upstream.protocol import About, HttpRequest
from mintage.values import Secret

_ASSERTION: Final = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
_ASSERTION_SECONDS: Final = 60
_ABOUT: Final[Mapping[str, About]] = MappingProxyType(
    {
        "authorization_code": "code",
        "refresh_token": "refresh",
        "urn:ietf:params:oauth:grant-type:token-exchange": "exchange",
        "urn:ietf:params:oauth:grant-type:jwt-bearer": "id_jag",
    }
)
"""What a request is about, by its ``grant_type``."""
_NO_HEADERS: Final[Mapping[str, str]] = MappingProxyType({})
_CERTIFICATE: Final = re.compile(rb"-----BEGIN (CERTIFICATE)-----.*?-----END \1-----", re.DOTALL)
_PRIVATE_KEY: Final = re.compile(rb"-----BEGIN ([A-Z ]*KEY)-----.*?-----END \1-----", re.DOTALL)
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "Ed25519"}

if TYPE_CHECKING:
    from joserfc import jwk

    AsymmetricKey: TypeAlias = jwk.RSAKey | jwk.ECKey | jwk.OKPKey


class SigningKey(PartlyShown, frozen=True):
    """Mintage's private key, and the header that tells the provider which one it is."""

    not_shown = ("key",)

    key: "AsymmetricKey"
    header: dict[str, str]

    @classmethod
    def read(cls, secret: Secret) -> "SigningKey":
        """The key in a PEM or a JWK. Raises ``ValueError``, which says what is wrong with it.

        A PEM may contain the key's certificate too. Then its thumbprint is sent, because some
        providers identify keys by it.
        """
        from cryptography import x509  # late: see `mintage.jwt.jwk_sets`
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives.hashes import SHA256

        raw = secret.reveal()
        try:
            key = _from_jwk(raw) if raw.startswith(b"{") else _from_pem(raw)
            header = {"kid": key.kid or key.thumbprint()}
            if (found := _CERTIFICATE.search(raw)) is not None:
                certificate = x509.load_pem_x509_certificate(found[0])
                header["x5t#S256"] = encode_text(certificate.fingerprint(SHA256()))
        except (
            JoseError,
            UnsupportedAlgorithm,
            msgspec.DecodeError,
            ValueError,
            TypeError,
            KeyError,
        ):
            raise ValueError("is no private key, neither PEM nor JWK") from None
        curve = key.as_dict(private=False).get("crv")
        algorithm = "RS256" if curve is None else _CURVES.get(str(curve))
        if algorithm is None or not key.is_private:
            raise ValueError("is no private key to sign with: RSA, P-256, P-384, P-521, Ed25519")
        return cls(key, header | {"alg": algorithm})


def _from_jwk(raw: bytes) -> "AsymmetricKey":
    from joserfc import jwk  # late: see `mintage.jwt.jwk_sets`

    key = jwk.import_key(msgspec.json.decode(raw))
    if isinstance(key, jwk.OctKey):
        raise TypeError
    return key


def _from_pem(raw: bytes) -> "AsymmetricKey":
    from cryptography.hazmat.primitives.asymmetric import ec, rsa  # late: see mintage.jwt.jwk_sets
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from joserfc import jwk

    found = _PRIVATE_KEY.search(raw)
    if found is None:
        raise ValueError
    match load_pem_private_key(found[0], None):
        case rsa.RSAPrivateKey():
            return jwk.RSAKey.import_key(found[0])
        case ec.EllipticCurvePrivateKey():
            return jwk.ECKey.import_key(found[0])
        case _:
            return jwk.OKPKey.import_key(found[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientCredentials:
    """Mintage's client id at the provider, and how it authenticates."""

    client_id: str
    method: AuthMethod
    secret: Secret | None = field(default=None, repr=False)
    key: SigningKey | None = field(default=None, repr=False)
    _basic: Mapping[str, str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        made = self._made() if self.method == "client_secret_basic" else _NO_HEADERS
        object.__setattr__(self, "_basic", made)

    def post(
        self,
        url: str,
        form: dict[str, str],
        *,
        audience: str,
        jti: str,
        now: int,
        about: About | None = None,
    ) -> HttpRequest:
        """A POST of *form* to *url*, authenticated.

        *audience*, *jti* (never used twice) and *now* are for an assertion, if one is needed.
        *about*: None for what the form's ``grant_type`` says.
        """
        return HttpRequest(
            method="POST",
            url=url,
            about=about or _ABOUT.get(form.get("grant_type", ""), "introspection"),
            headers=self.header(),
            form=form | self._fields(audience=audience, jti=jti, now=now),
        )

    @property
    def signs(self) -> bool:
        """Whether an assertion is needed, and so a *jti* for it."""
        return self.method == "private_key_jwt" and self.key is not None

    def header(self) -> Mapping[str, str]:
        """HTTP Basic, if that is the method."""
        return self._basic

    def basic(self) -> Mapping[str, str]:
        """HTTP Basic, whatever the method is."""
        return self._basic or self._made()

    def _made(self) -> Mapping[str, str]:
        # Each half is form-encoded first (RFC 6749 §2.3.1).
        pair = f"{quote_plus(self.client_id)}:{quote_plus(self._password())}"
        basic = {"authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
        return MappingProxyType(basic)

    def _fields(self, *, audience: str, jti: str, now: int) -> dict[str, str]:
        match self.method, self.key:
            case "client_secret_basic", _:
                return {}
            case "client_secret_post", _:
                return {"client_id": self.client_id, "client_secret": self._password()}
            case "private_key_jwt", SigningKey() as key:
                return {
                    "client_id": self.client_id,
                    "client_assertion_type": _ASSERTION,
                    "client_assertion": self._assertion(key, audience, jti, now),
                }
            case _:
                return {"client_id": self.client_id}

    def _assertion(self, key: SigningKey, audience: str, jti: str, now: int) -> str:
        """RFC 7523 §3."""
        from joserfc import jwt  # late: see `mintage.jwt.jwk_sets`

        claims = {
            "iss": self.client_id, "sub": self.client_id, "aud": audience, "jti": jti,
            "iat": now, "nbf": now, "exp": now + _ASSERTION_SECONDS,
        }  # fmt: skip
        return jwt.encode(key.header, claims, key.key, algorithms=[key.header["alg"]])

    def _password(self) -> str:
        return "" if self.secret is None else self.secret.reveal().decode()
