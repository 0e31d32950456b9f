"""Refuses forms that another site sent: the user did not decide them."""

from starlette.requests import Request

from mintage.errors import AccessDenied, Stage


def refuse_other_sites(request: Request, *, stage: Stage) -> None:
    """Refuse a form of another site (Fetch Metadata)."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise AccessDenied(
            "the answer came from another site; go back to the application and log in again",
            reason=f"cross-site {stage} form",
            stage=stage,
        )
