"""``[audit]``: where the audit trail goes, and what it says."""

from pathlib import Path
from typing import Literal

import msgspec

from mintage.audit.auditor import AuditSettings, Refusals
from mintage.errors import ConfigError
from mintage.secret_source import Resolve
from mintage.urls import check_https, whole_url


class AuditSection(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``[audit]``: the audit trail is on if the file has this table.

    [Keep an audit trail](how-to/keep-an-audit-trail.md) has more.
    """

    to: str
    """Where the records go: `file:PATH`, `stdout`, or the URL of a webhook."""
    subject: Literal["plain", "hashed"] = "plain"
    """How records name users: as the provider does, or by a hash."""
    refusals: Refusals = "signed_in"
    """Records of refused requests: of those with a live grant, of all, or of none."""
    authorization: str | None = None
    """Where the header `Authorization` is that a webhook gets, as `Bearer …`."""
    signing_secret: str | None = None
    """Where the secret is that signs each batch that a webhook gets."""


def read_audit(
    section: AuditSection | None, *, base: Path, resolve: Resolve
) -> AuditSettings | None:
    """*section* checked; paths are relative to *base*. Raises `ConfigError`."""
    if section is None:
        return None
    to = _target(section.to, base)
    if isinstance(to, Path) or to == "stdout":
        for name in ("authorization", "signing_secret"):
            if getattr(section, name) is not None:
                raise ConfigError(f"audit.{name}", "is for a webhook; remove it")
    secrets = {
        name: None if spec is None else resolve(spec, f"audit.{name}")
        for name, spec in (
            ("authorization", section.authorization),
            ("signing_secret", section.signing_secret),
        )
    }
    return AuditSettings(
        to=to, hashed=section.subject == "hashed", refusals=section.refusals, **secrets
    )


def _target(text: str, base: Path) -> Path | str:
    scheme, _, rest = text.partition(":")
    if scheme == "file" and rest:
        return (base / rest).absolute()
    if text == "stdout":
        return text
    if scheme not in ("http", "https"):
        raise ConfigError("audit.to", "write file:PATH, stdout, or the URL of a webhook")
    check_https(whole_url(text, "audit.to", example="https://siem.example.com/mintage"), "audit.to")
    return text
