"""The logins at a fake provider: its codes, and the tokens of each login."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from mintage.grants.pkce import s256


@dataclass(slots=True)
class Code:
    """A code that was not redeemed yet, and what it is bound to."""

    challenge: str | None
    nonce: str | None
    redirect_uri: str


@dataclass(slots=True)
class Family:
    """The tokens of one login: the newest of each kind, and whether they are still valid."""

    refresh_token: str = ""
    access_token: str = ""
    live: bool = True


@dataclass(slots=True)
class Logins:
    """Every login of one provider. *issued*: each token that it ever made."""

    issued: list[str]
    _codes: dict[str, Code] = field(default_factory=dict)
    _families: dict[str, Family] = field(default_factory=dict)

    def begin(self, query: Mapping[str, str]) -> str:
        """The code for an authorization request (RFC 6749 §4.1.2)."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = Code(
            query.get("code_challenge"), query.get("nonce"), query["redirect_uri"]
        )
        return code

    def redeem(self, fields: Mapping[str, str]) -> Code | None:
        """The code in a token request, if it is good (RFC 6749 §4.1.3, RFC 7636 §4.6)."""
        code = self._codes.pop(fields["code"], None)
        if code is None or code.redirect_uri != fields["redirect_uri"]:
            return None
        if code.challenge and code.challenge != s256(fields["code_verifier"]):
            return None
        return code

    def refresh(self, token: str) -> Family | None:
        """The login of a refresh token, if it is good. An older one ends the login."""
        family = self._families.get(token)
        if family is None or not family.live:
            return None
        if family.refresh_token != token:
            family.live = False  # used twice: a thief or a clumsy client, and no telling which
            return None
        return family

    def renew(self, family: Family, *, refreshable: bool, rotates: bool) -> bool:
        """Give *family* new tokens. Returns whether there is a new refresh token among them."""
        family.access_token = f"upstream-access-{secrets.token_urlsafe(12)}"
        self.issued.append(family.access_token)
        rotated = refreshable and (rotates or not family.refresh_token)
        if rotated:
            family.refresh_token = f"upstream-refresh-{secrets.token_urlsafe(12)}"
            self.issued.append(family.refresh_token)
        self._families[family.refresh_token or family.access_token] = family
        return rotated

    def is_refresh_token(self, token: str, kind: str) -> bool:
        """Whether it is the newest refresh token of a login that has not ended."""
        family = self._families.get(token)
        named = kind == "urn:ietf:params:oauth:token-type:refresh_token"
        return named and family is not None and family.live and family.refresh_token == token

    def is_live(self, access_token: str) -> bool:
        """Whether it is the newest access token of a login that has not ended."""
        return any(
            family.live and family.access_token == access_token
            for family in self._families.values()
        )

    def end(self, token: str) -> bool:
        """End the login of *token*. Returns whether it was live until now."""
        ended = False
        for family in self._families.values():
            if token in (family.refresh_token, family.access_token):
                ended, family.live = family.live or ended, False
        return ended

    def end_all(self) -> None:
        for family in self._families.values():
            family.live = False
