"""A provider as data: what it does its own way. Its module in `presets` is nothing but one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

AuthMethod = Literal["client_secret_basic", "client_secret_post"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Preset:
    """The quirks of one provider.

    *issuer*: where it is the same for everybody. *auth_method*: where discovery does not
    tell the truth about it. *authorization_parameters*: sent along with every login.
    *userinfo*: ask that endpoint for claims that its id_token leaves out.
    """

    name: str
    issuer: str | None = None
    auth_method: AuthMethod | None = None
    authorization_parameters: Mapping[str, str] = field(default_factory=dict)
    userinfo: bool = True
