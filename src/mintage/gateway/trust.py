"""How TLS certificates of backends are verified. Verification can't be disabled."""

import ssl

from mintage.errors import ConfigError
from mintage.site.targets import HttpTarget


def trust(
    target: HttpTarget, *, ca: str | None, certificate: str | None, key: str
) -> ssl.SSLContext | None:
    """The TLS context for connections to *target*; None if it has no TLS.

    *ca*: a PEM file with the CA certificates to use instead of the system's. *certificate*: a PEM
    file with Mintage's own certificate and private key. Raises `ConfigError` for the settings
    beside *key*.
    """
    if not target.tls:
        if ca is not None or certificate is not None:
            raise ConfigError(f"{key}.backend_{'certificate' if ca is None else 'ca'}", _NO_TLS)
        return None
    try:
        context = ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise ConfigError(f"{key}.backend_ca", f"{ca} can't be used: {error}") from None
    context.set_alpn_protocols(["http/1.1"])
    if certificate is not None:
        try:
            # An encrypted key is refused: its password could not be entered.
            context.load_cert_chain(certificate, password=_no_password)
        except (OSError, ValueError) as error:
            advice = f"{certificate} can't be used: {error}"
            raise ConfigError(f"{key}.backend_certificate", advice) from None
    return context


_NO_TLS = "is for backends whose URL begins with https://"


def _no_password() -> str:
    raise ValueError("its private key is encrypted")
