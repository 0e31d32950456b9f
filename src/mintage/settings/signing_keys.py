"""``tokens.signing_key``: the keys of access tokens that other programs verify."""

from mintage.errors import ConfigError
from mintage.jwt.keyring import TokenKey
from mintage.secret_source import Resolve


def read_signing_keys(specs: str | tuple[str, ...], resolve: Resolve) -> tuple[TokenKey, ...]:
    """The keys in *specs*. The first one signs. Raises `ConfigError`."""
    keys = []
    for spec in (specs,) if isinstance(specs, str) else specs:
        pem = resolve(spec, "tokens.signing_key")
        try:
            keys.append(TokenKey.from_pem(pem.reveal()))
        except ValueError as error:
            raise ConfigError("tokens.signing_key", str(error)) from None
    if keys and keys[0].signer is None:
        raise ConfigError("tokens.signing_key", "the first must be a private key: it signs")
    return tuple(keys)
