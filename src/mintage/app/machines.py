"""Which machines the settings, as they are now, let have tokens."""

from collections.abc import Callable

from mintage.clients.client import CLIENT_CREDENTIALS
from mintage.grants.machines import client_of, workload_of
from mintage.grants.states import Identity
from mintage.settings.load import Config
from mintage.trust import workloads


def machines_of(config: Config) -> Callable[[Identity], bool]:
    """Whether a client or workload still has its entry. One that has lost it loses its tokens."""
    clients = {
        client.client_id for client in config.clients if CLIENT_CREDENTIALS in client.grant_types
    }

    rules = {(one.name, one.issuer): one.rules for one in config.trusted_issuers}

    def admits(who: Identity) -> bool:
        if (name := workload_of(who)) is not None:
            fitting = workloads.matching(rules.get((name, who.issuer), ()), who.claims)
            return next(fitting, None) is not None
        client_id = client_of(who, config.issuer)
        return client_id is not None and client_id in clients

    return admits
