"""Refuses forms that another site sent: the user did not decide them."""

from starlette.requests import Request

from mintage.errors import AccessDenied, Stage
from mintage.server.login_errors import FromAnotherSite
from mintage.site.site import Site


def refuse_other_origins(request: Request, site: Site, *, stage: Stage) -> None:
    """Refuse another site's form, also from a browser without Fetch Metadata.

    Pages of Mintage are sent without a referrer, so that browsers say "null" for them.
    """
    origin = request.headers.get("origin", "null")
    if origin not in ("null", site.issuer.removesuffix(site.base_path)):
        raise FromAnotherSite(
            "the form came from another site; open the page, and use its button",
            reason="form with another origin",
            stage=stage,
        )


def refuse_other_sites(request: Request, *, stage: Stage) -> None:
    """Refuse a form of another site (Fetch Metadata)."""
    if request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none"):
        return
    reason = f"cross-site {stage} form"
    if stage == "consent":  # nobody can open that page: only an app leads to it
        raise AccessDenied(
            "the answer came from another site; go back to the application and log in again",
            reason=reason,
            stage=stage,
        )
    raise FromAnotherSite(
        "the form came from another site; open the page, and use its button",
        reason=reason,
        stage=stage,
    )
