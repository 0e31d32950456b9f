"""Limits the connections in all and from one address, and has their clock."""

import asyncio
import logging
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address
from typing import Final, Protocol

from mintage.serving.refusals import ADDRESS_FULL, EVICTED, FULL, Complaints, Refusal

_TICK: Final = 1.0  # seconds: what all waiting is counted in
_REPEAT: Final = 10  # ticks between two reports of what was refused
_IDLE: Final = 1  # seconds after which an idle connection may give way to a new one

log = logging.getLogger("mintage.serve")

Trusts = Callable[[str | None], bool]


class Timed(Protocol):
    """A connection that is called once a second."""

    @property
    def idle(self) -> int | None:
        """For how many seconds it has been idle; None if it is working."""

    def tick(self) -> None: ...

    def evict(self) -> None: ...


class Places:
    """The places of one process.

    One timer counts the time of all connections: a timer for each would cost each request. It runs
    while there is a connection.
    """

    def __init__(self, *, total: int, per_address: int, trusts: Trusts) -> None:
        """*trusts*: whether an address is a proxy's, which has many clients behind it."""
        self._total = total
        self._per_address = per_address
        self._trusts = trusts
        self._taken = 0
        self._held: dict[str, int] = {}
        self._timed: set[Timed] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._ticks = 0
        self._spare: list[Timed] | None = None  # idle ones, the longest at the end; None: look
        self._complaints = Complaints(log.warning)

    def __len__(self) -> int:
        return self._taken

    def take(self, address: str | None) -> Refusal | None:
        """Take a place for a connection from *address*. Returns a refusal if there is none.

        Call `give` in any case that is not a refusal. If all places are taken, the connection that
        has been idle for longest is closed.
        """
        key = _counted_as(address, self._trusts)
        held = 0 if key is None else self._held.get(key, 0)
        if held >= self._per_address:
            return ADDRESS_FULL
        if self._taken >= self._total and not self._evict():
            return FULL
        if key is not None:
            self._held[key] = self._held.get(key, 0) + 1
        self._taken += 1
        return None

    def give(self, address: str | None) -> None:
        self._taken -= 1
        key = _counted_as(address, self._trusts)
        if key is not None:
            self._held[key] -= 1
            if self._held[key] == 0:
                del self._held[key]

    def _evict(self) -> bool:
        """Whether an idle connection could be closed.

        All are examined once a second, so that a flood costs no more than that. Each is examined
        again when its turn comes, because it may have been working since.
        """
        if self._spare is None:
            self._spare = [each for each in self._timed if (each.idle or 0) >= _IDLE]
            self._spare.sort(key=lambda each: each.idle or 0)
        while self._spare:
            connection = self._spare.pop()
            if connection in self._timed and (connection.idle or 0) >= _IDLE:
                self._complaints.note(EVICTED, EVICTED)
                connection.evict()
                return True
        return False

    def watch(self, connection: Timed) -> None:
        """Call *connection* each second until `forget`."""
        self._timed.add(connection)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK, self._on_time)

    def forget(self, connection: Timed) -> None:
        self._timed.discard(connection)

    def complain(self, refusal: Refusal, address: str | None) -> None:
        """Log *refusal*, but not each one of a flood."""
        self._complaints.note(refusal.reason, refusal.told_of(address))

    def tick(self) -> None:
        """A second has passed."""
        self._ticks += 1
        self._spare = None
        for connection in tuple(self._timed):
            connection.tick()
        if self._ticks % _REPEAT == 0:
            self._complaints.repeat()

    def _on_time(self) -> None:
        self._timer = None
        self.tick()
        if (self._timed or self._complaints) and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK, self._on_time)


def _counted_as(address: str | None, trusts: Trusts) -> str | None:
    """What connections from *address* are counted under; None: they are not counted.

    An IPv6 host can use all addresses of a /64.
    """
    if trusts(address) or address is None:
        return None
    try:
        parsed = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    return str(parsed.ipv4_mapped or int(parsed) >> 64)
