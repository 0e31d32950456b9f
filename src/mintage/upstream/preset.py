"""A provider as data: its endpoints, what it says about users, how it differs from the standards.

A module in `presets` has a provider's `Preset` and nothing else. The code that reads a quirk
explains it, once for all providers; no provider has a class of its own.
"""

from collections.abc import Mapping
from typing import Literal

import msgspec

from mintage.upstream.json_paths import Each, Pick

AuthMethod = Literal["client_secret_basic", "client_secret_post", "private_key_jwt", "none"]

Revocation = Literal["rfc7009", "delete_token", "bearer"]

Parameters = Mapping[str, str]


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """The provider's endpoints. ``{domain}`` and the like are replaced by a preset's parameters.

    *introspection*: asked whether a token without an end is still valid (RFC 7662), if an operator
    configures it.
    """

    authorization: str | None = None
    tokens: str | None = None
    userinfo: str | None = None
    revocation: str | None = None
    introspection: str | None = None
    jwks: str | None = None


class Lookup(msgspec.Struct, frozen=True, kw_only=True):
    """One request about the user, with the user's own token.

    The answer is stored under *into*. *scopes*: only if the token has one of them; empty: always.
    *page_size*: the answer is a list in pages of so many. *listed*: a list in one piece. If the
    provider does not answer, nothing is known about the user.
    """

    into: str
    url: str
    scopes: frozenset[str] = frozenset()
    page_size: int | None = None
    listed: bool = False

    @property
    def is_list(self) -> bool:
        return self.listed or self.page_size is not None


class IdentityMap(msgspec.Struct, frozen=True, kw_only=True):
    """Where the identity is in the provider's answers; None: they do not have it.

    With OpenID Connect the words are the claims, and None means the standard claim. Without it they
    are the answers to the lookups.
    """

    subject: Pick | None = None
    email: Pick | None = None
    email_verified: Pick | None = None
    name: Pick | None = None
    preferred_username: Pick | None = None
    groups: Each | Pick | None = None
    organizations: Each | Pick | None = None


class Quirks(msgspec.Struct, frozen=True, kw_only=True):
    """How a provider differs from the standards. The defaults are the standards.

    ====================== ==================================================================
    *auth_method*          how Mintage authenticates, if discovery does not say it correctly
    *pkce*                 whether it supports PKCE; otherwise nonce and cookie protect the login
    *scope_separator*      between the scopes in a request
    *answered_separator*   between the scopes in an answer
    *offline*              sent instead of the scope ``offline_access``, if it has none
    *parameters*           sent with every login
    *prompts*              the values of ``prompt`` that it knows, with its own names; None: all
    *max_age*              whether it supports ``max_age`` and sends ``auth_time``
    *login_hint*           its name for ``login_hint``; None: it has none
    *form_answers*         token answers may be form-urlencoded
    *errors_in_200*        errors come with status 200, as ``error`` (and ``ok: false``)
    *error_words*          its own error codes, with OAuth's for each
    *passing_codes*        numbers among an error's ``error_codes`` that only ask to wait
    *refusal_statuses*     the statuses with which an error may end a login
    *token_types*          its names for a bearer token
    *tokens_under*         the member of a token answer that contains the user's tokens
    *scope_parameter*      the parameter for the user's scopes
    *issuer_template*      its issuer, where ``{tenantid}`` is each user's own ``tid``
    *issuer_aliases*       other spellings of the issuer in its id_tokens
    *userinfo*             when to request claims in addition to the id_token's
    *dead_token_words*     what it says, with 401, about a token that has ended
    *partial_header*       the header of a list that is incomplete
    *replaces_tokens*      whether a refresh ends the previous access token; true if unknown
    *emails_are_verified*  whether every address is verified, if no claim says so
    *revocation*           how a token is revoked there
    *api_headers*          sent with every lookup
    ====================== ==================================================================
    """

    auth_method: AuthMethod | None = None
    pkce: bool = True
    scope_separator: Literal[" ", ","] = " "
    answered_separator: Literal[" ", ","] = " "
    offline: Parameters | None = None
    parameters: Parameters = msgspec.field(default_factory=dict)
    prompts: Parameters | None = None
    max_age: bool = True
    login_hint: str | None = "login_hint"
    form_answers: bool = False
    errors_in_200: bool = False
    error_words: Parameters = msgspec.field(default_factory=dict)
    passing_codes: frozenset[int] = frozenset()
    refusal_statuses: frozenset[int] = frozenset({400, 401})
    token_types: frozenset[str] = frozenset({"bearer"})
    tokens_under: str | None = None
    scope_parameter: str = "scope"
    issuer_template: str | None = None
    issuer_aliases: tuple[str, ...] = ()
    userinfo: Literal["always", "for_email", "never"] = "for_email"
    dead_token_words: frozenset[str] = frozenset()
    partial_header: str | None = None
    replaces_tokens: bool = True
    emails_are_verified: bool = False
    revocation: Revocation = "rfc7009"
    api_headers: Parameters = msgspec.field(default_factory=dict)


class Preset(msgspec.Struct, frozen=True, kw_only=True):
    """One provider. *title*: its brand, for pages.

    *issuer*: where discovery begins, with its parameters in braces; None: the operator configures
    it. *discovery*: whether it has any. *parameters*: what the operator must set, each with its
    default, or None if it has none. *lookups*: who the user is, without OpenID Connect. *public*:
    the parameters with which anyone can create an account there; None: not everyone can.
    """

    name: str
    title: str
    issuer: str | None = None
    discovery: bool = True
    endpoints: Endpoints = Endpoints()
    parameters: Mapping[str, str | None] = msgspec.field(default_factory=dict)
    scopes: tuple[str, ...] = ("openid", "email", "offline_access")
    lookups: tuple[Lookup, ...] = ()
    identity: IdentityMap = IdentityMap()
    quirks: Quirks = Quirks()
    public: Mapping[str, tuple[str, ...]] | None = None

    def is_public(self, parameters: Parameters) -> bool:
        """Whether anybody can make an account at the provider that *parameters* choose."""
        if self.public is None:
            return False
        return all(parameters.get(name) in values for name, values in self.public.items())
