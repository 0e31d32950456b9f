"""An issuer that is trusted, and what its assertions may get. Pure."""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

import msgspec

from mintage.partly_shown import PartlyShown
from mintage.upstream.preset import IdentityMap
from mintage.values import Scopes

Purpose: TypeAlias = Literal["id_jag", "workload"]

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
    "EdDSA", "Ed25519",
)  # fmt: skip
"""Asymmetric ones. An issuer's keys are public, so none of another kind could prove anything."""


class WorkloadRule(msgspec.Struct, frozen=True, kw_only=True):
    """Which workloads of an issuer get tokens, and for what.

    *claims*: for each claim the values of which it must have one; see `trust.workloads`.
    *resources*: paths.
    """

    name: str
    claims: Mapping[str, tuple[str, ...]]
    resources: tuple[str, ...]
    scopes: Scopes


class TrustedIssuer(PartlyShown, frozen=True, kw_only=True):
    """*purpose*: what its assertions are. *audiences*: whom they may be for; one of them.

    *max_seconds*: how long an assertion may live, from ``iat`` to ``exp``. *jwks*: its keys as
    JSON, if they are in the settings; otherwise they are at *jwks_uri*, or where its discovery
    document says. *single_use*: whether an assertion is accepted once.

    For ``id_jag``: *prefix* is put in front of the subjects of its users; *identity* says where
    its claims are; *resources* are the paths that it may give access to (None: all), and *scopes*
    all that it may give (None: all); *default_scopes* are given if the ID-JAG names none; *tenant*
    is the one that its ID-JAGs must name (None: they name none). For ``workload``: *rules*.
    """

    not_shown = ("jwks",)

    name: str
    issuer: str
    purpose: Purpose
    algorithms: tuple[str, ...]
    audiences: tuple[str, ...]
    max_seconds: int
    jwks: bytes | None = None
    jwks_uri: str | None = None
    single_use: bool = True
    prefix: str = ""
    identity: IdentityMap = msgspec.field(default_factory=IdentityMap)
    resources: tuple[str, ...] | None = None
    scopes: Scopes | None = None
    default_scopes: Scopes = ()
    tenant: str | None = None
    rules: tuple[WorkloadRule, ...] = ()

    @property
    def keys_from(self) -> tuple[str, str | None, bytes | None]:
        """What decides which keys it has."""
        return self.issuer, self.jwks_uri, self.jwks
