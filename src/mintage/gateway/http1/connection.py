"""One HTTP/1.1 connection to a backend, and what the gateway answers if that gives no response."""

from mintage.errors import OAuthError
from mintage.network import http1


class BackendError(OAuthError):
    """The backend gave no response. *status* is what the gateway answers then (RFC 9110 §15.6)."""

    stage = "backend"

    def __init__(self, status: int, advice: str, *, reason: str = "") -> None:
        super().__init__(advice, reason=reason)
        self.status = status


class Connection(http1.Connection):
    """Raises `BackendError`."""

    def fault(self, what: str) -> BackendError:
        return BackendError(502, f"the backend {what}")
