"""Who acts if no user does: a client or a workload. Pure.

The subject of a machine begins with a word and ``|``, as the subjects of users of several providers
do. No provider may have such a name, and no user of the one provider such a subject. So no machine
has the subject of a user (RFC 9068 §5).
"""

from typing import Any, Final

from mintage.grants.states import Identity
from mintage.values import ClientId

CLIENT: Final = "client"
WORKLOAD: Final = "workload"
WORKLOAD_PREFIX: Final = "workload:"
RESERVED: Final = frozenset({CLIENT, WORKLOAD})
"""The words before ``|`` that no subject of a user begins with."""


def client_identity(issuer: str, client_id: ClientId, claims: dict[str, Any]) -> Identity:
    """A client that acts for itself, at the server *issuer* (RFC 6749 §4.4)."""
    return Identity(issuer=issuer, subject=f"{CLIENT}|{client_id}", claims=claims, machine=True)


def client_of(who: Identity, issuer: str) -> ClientId | None:
    """The client of the server *issuer* that *who* is; None for users and workloads."""
    kind, _, name = who.subject.partition("|")
    if who.machine and who.issuer == issuer and kind == CLIENT:
        return ClientId(name)
    return None


def workload_client(issuer_name: str, rule_name: str) -> ClientId:
    """What takes a client's place in the grants of workloads that fit a rule."""
    return ClientId(f"{WORKLOAD_PREFIX}{issuer_name}:{rule_name}")


def workload_identity(
    issuer: str, issuer_name: str, subject: str, claims: dict[str, Any]
) -> Identity:
    """The workload that *issuer* calls *subject*. *claims*: those that rules ask for."""
    named = f"{WORKLOAD}|{issuer_name}|{subject}"
    return Identity(issuer=issuer, subject=named, claims=claims, machine=True)


def workload_of(who: Identity) -> str | None:
    """The name of the issuer of a workload; None for users and clients."""
    kind, _, rest = who.subject.partition("|")
    return rest.partition("|")[0] if who.machine and kind == WORKLOAD else None
