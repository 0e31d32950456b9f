"""Why a request did not get through, and who can fix it."""

import socket
import ssl
from typing import Final

from mintage.errors import UpstreamError, UpstreamMisconfigured, UpstreamUnavailable
from mintage.network.http1 import HttpFault

_DEPTH: Final = 10


def failure(error: Exception, where: str) -> UpstreamError:
    """*error* of a request to *where*: an outage, or a fault that only an operator can fix."""
    causes = _causes(error)
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return UpstreamMisconfigured(
                f"the certificate of {where} is not trusted ({cause.verify_message}): put the CA "
                "that signed it into the file that SSL_CERT_FILE names"
            )
    return UpstreamUnavailable(f"{where} can't be reached: {_words(error, causes, where)}")


def not_http(where: str) -> UpstreamMisconfigured:
    """What to raise for an address at *where* that is neither http nor https."""
    return UpstreamMisconfigured(f"{where} has an address that is neither http nor https")


def _words(error: Exception, causes: list[BaseException], where: str) -> str:
    for cause in causes:
        match cause:
            case socket.gaierror():
                return f"the name {where} is not found ({cause.strerror})"
            case ssl.SSLError():
                return f"TLS failed ({cause.reason or cause})"
            case HttpFault():
                return f"it {cause}"
            case TimeoutError():
                return "no connection was made in time"
            case ConnectionRefusedError():
                return "it refuses connections"
            case OSError() if cause.strerror:
                return cause.strerror
            case _:
                continue
    name = type(error).__name__
    return f"{error} ({name})" if str(error) else name


def _causes(error: BaseException) -> list[BaseException]:
    """*error* and its causes; of several attempts at once, each."""
    found: list[BaseException] = []
    open_ends: list[BaseException | None] = [error]
    while open_ends and len(found) < _DEPTH:
        one = open_ends.pop(0)
        if one is None or one in found:
            continue
        found.append(one)
        open_ends += [one.__cause__, one.__context__]
        if isinstance(one, BaseExceptionGroup):
            open_ends += one.exceptions
    return found
