"""What a server says of itself when it starts: a block that an operator can check at a glance."""

import logging
from urllib.parse import urlsplit

import mintage
from mintage.checks.access import who_may_log_in
from mintage.settings.load import Config
from mintage.site.resource import Target
from mintage.site.targets import Command, External, HttpTarget

log = logging.getLogger("mintage")


def introduce(config: Config) -> None:
    """Log the version, the address, what to register at the provider, and what is protected."""
    log.info("Mintage %s at %s", mintage.__version__, config.issuer)
    for upstream in config.upstreams:
        callback = config.issuer + upstream.callback
        log.info("redirect address to register at %s: %s", upstream.title, callback)
    for resource in config.resources:
        log.info("%s → %s", resource.identifier, _served_by(resource.target))
    log.info("store: %s", _without_password(config.store))
    who = who_may_log_in(config)
    if who.level == "ok":
        log.info("who may log in: %s", who.found)
    else:
        log.warning("%s; %s", who.found, who.remedy)


def _served_by(target: Target) -> str:
    match target:
        case HttpTarget():
            return target.url if target.socket is None else f"unix:{target.socket}"
        case Command():
            return f"the command {target.run[0]}"  # its arguments may hold a secret
        case External():
            return "the application around Mintage, or another proxy"


def _without_password(store: str) -> str:
    """*store* without user, password and query, which may hold one."""
    scheme, _, rest = store.partition("://")
    if scheme in ("sqlite", "memory"):
        return store
    return f"{scheme}://{urlsplit(store).netloc.rpartition('@')[2]}{urlsplit('//' + rest).path}"
