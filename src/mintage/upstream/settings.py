"""What an operator says about the identity provider."""

from dataclasses import dataclass, field

from mintage.values import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamSettings:
    """*issuer*: None where the preset knows it. *client_secret*: None for a public client."""

    preset: str
    issuer: str | None
    client_id: str
    client_secret: Secret | None = field(repr=False)
    scopes: tuple[str, ...]
