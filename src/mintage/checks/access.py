"""Checks who may log in, and who can read files that only the server should read."""

import os
import stat
from collections.abc import AsyncIterator
from pathlib import Path

from mintage.checks.findings import Finding, ok, warning
from mintage.settings.load import Config


async def check_access(config: Config) -> AsyncIterator[Finding]:
    """The rules about users, and the permissions of files."""
    yield who_may_log_in(config)
    if (finding := _rights("store", _store_file(config))) is not None:
        yield finding


def who_may_log_in(config: Config) -> Finding:
    """A provider where anyone can create an account needs a rule, or ``allow = "everybody"``."""
    issuers = [one.name for one in config.trusted_issuers if one.purpose == "id_jag"]
    if not config.upstreams and not issuers:
        return ok("allow", "nobody: there is no [upstream], so all tokens are for machines")
    if config.allow:
        rules = len(config.allow)
        return ok("allow", f"who fits {'the rule' if rules == 1 else f'one of {rules} rules'}")
    if not config.upstreams:
        found = f"nobody: there is no [upstream]. Users come with an ID-JAG of {', '.join(issuers)}"
        return ok("allow", found)
    public = [one.title for one in config.upstreams if one.public]
    if not public or config.allow_everybody:
        return ok("allow", "everybody whom the identity provider logs in may log in")
    return warning(
        "allow",
        f"anybody can make an account at {', '.join(public)}, and no rule says who may log in "
        "here: everybody may",
        'add a rule, like [[allow]] emails = ["*@example.com"], or write allow = "everybody"',
    )


def _store_file(config: Config) -> Path | None:
    scheme, _, path = config.store.partition("://")
    return Path(path) if scheme == "sqlite" else None


def _rights(about: str, path: Path | None) -> Finding | None:
    try:
        if os.name != "posix" or path is None or not path.is_file():
            return None
        everybody = path.stat().st_mode & (stat.S_IROTH | stat.S_IWOTH)
    except OSError:  # the name is too long, say: the check of the store says so
        return None
    if not everybody:
        return None
    return warning(
        about,
        f"every user of this machine can read or write {path}",
        f"chmod o-rw {path}",
    )
