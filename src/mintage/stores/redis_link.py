"""Calls to Redis: single, behind Sentinel, or a Cluster; with limits, and with Mintage's errors.

Every call ends within five seconds, with an answer or an error. The driver may send a call twice if
a node of a cluster went away, so every call must have the same effect if it is done twice.
"""

import asyncio
import contextlib
import math
import re
import traceback
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from functools import partial
from typing import Any, Final, Self, TypeVar
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import msgspec

from mintage.extras import extra

with extra("redis"):
    from redis import asyncio as redis
    from redis import exceptions as failed
    from redis.asyncio.cluster import ClusterNode
    from redis.asyncio.connection import SSLConnection, parse_url
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

from mintage.concurrency.bounded_memory import BoundedMemory
from mintage.errors import StoreError, StoreUnavailable, StoreUnusable

T = TypeVar("T")

POOL_SIZE: Final = 32
_SPARE: Final = 8  # connections beyond that: the feed's, and those that are just being closed
_SECONDS: Final = 5.0  # for a call, with all that it takes
# Less than half of it for one answer: the driver must notice that a server is gone in time
# to look for the one that took its place.
_ANSWER: Final = 2.0
_CONFIRMATION: Final = 1.5  # for replicas to say that they have a write
_MAX_UNSURE: Final = 10_000
_HEARTBEAT: Final = 1.5  # after so long a silence the feed is asked whether it lives
# What is forbidden inside a script comes without the code for it, worded by version.
_FORBIDDEN: Final = ("ACL failure", "NOPERM", "user executing the script can't")
_COMMAND_NAMED: Final = re.compile(r"'([A-Za-z]+)(?:\|[a-z]+)?'")
_PREFIX: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_FAILURES: Final = (failed.RedisError, failed.RedisClusterException, OSError, TimeoutError)
# While a cluster changes its shape, the driver closes connections under calls that use them,
# and stumbles over what is gone. See `_is_an_outage`.
_STUMBLES: Final = (AttributeError, LookupError, RuntimeError, TypeError)
_DRIVER: Final = failed.RedisError.__module__.partition(".")[0]


class Address(msgspec.Struct, frozen=True):
    """The content of a store URL. *options* are the driver's, for the servers that have records."""

    kind: str  # "", "cluster" or "sentinel"
    hosts: Sequence[tuple[str, int]]
    service: str
    options: dict[str, Any]
    sentinel_options: dict[str, Any]
    wait_replicas: int
    prefix: str = "mintage"

    @classmethod
    def parse(cls, url: str) -> "Address":
        """Raises `StoreUnusable` for what can't be intended."""
        parts = urlsplit(url)
        scheme, _, kind = parts.scheme.partition("+")
        query = dict(parse_qsl(parts.query))
        try:
            wait_replicas = int(query.pop("wait_replicas", "0"))
            prefix = query.pop("prefix", "mintage")
            if not _PREFIX.fullmatch(prefix):
                raise ValueError("prefix may have letters, digits and _ . -, 64 at most")
            sentinel = {
                name: query.pop(f"sentinel_{name}")
                for name in ("username", "password")
                if f"sentinel_{name}" in query
            }
            hosts = _hosts(parts, 26379 if kind == "sentinel" else 6379)
            options = _options(parts, scheme, kind, query)
        except ValueError as error:
            raise StoreUnusable(f"the store's URL can't be read: {error}") from None
        secure = {name: value for name, value in options.items() if name.startswith("ssl")}
        service = parts.path.strip("/") or "mymaster"
        return cls(kind, hosts, service, options, secure | sentinel, wait_replicas, prefix)


def _hosts(parts: SplitResult, port: int) -> list[tuple[str, int]]:
    places = [urlsplit(f"//{place}") for place in parts.netloc.rpartition("@")[2].split(",")]
    return [(place.hostname or "localhost", place.port or port) for place in places]


def _options(parts: SplitResult, scheme: str, kind: str, query: dict[str, str]) -> dict[str, Any]:
    """User, password, database and TLS for the driver, which reads URLs of one host only."""
    user, at, _ = parts.netloc.rpartition("@")
    path = "" if kind else parts.path
    options: dict[str, Any] = dict(parse_url(f"{scheme}://{user}{at}host{path}?{urlencode(query)}"))
    del options["host"]
    if options.pop("connection_class", None) is SSLConnection:
        options["ssl"] = True
    elif any(name.startswith("ssl") for name in options):
        raise ValueError("options for TLS need rediss")
    return options


class Link:
    """Calls to the server that has a key. *wait_replicas*: how many replicas must have a write."""

    def __init__(self, client: Any, *, wait_replicas: int = 0) -> None:
        self._client = client
        self._wait_replicas = wait_replicas
        self._turns = asyncio.Semaphore(POOL_SIZE)
        self._sentinels: Sequence[Any] = ()
        self._unsure: BoundedMemory[bytes, None] = BoundedMemory(_MAX_UNSURE)
        self.closed = asyncio.Event()

    @classmethod
    def to(cls, address: Address) -> Self:
        timing = {
            "socket_timeout": _ANSWER,
            "socket_connect_timeout": _ANSWER,
            "max_connections": POOL_SIZE + _SPARE,
            "retry": Retry(NoBackoff(), 0),
        }
        options = address.options | timing
        sentinels: Sequence[Any] = ()
        client: Any
        if address.kind == "cluster":
            nodes = [ClusterNode(host, port) for host, port in address.hosts]
            client = redis.RedisCluster(
                startup_nodes=nodes, **options | {"retry": Retry(NoBackoff(), 1)}
            )
        elif address.kind == "sentinel":
            watchers = redis.Sentinel(  # type: ignore[no-untyped-call]
                address.hosts, sentinel_kwargs=address.sentinel_options | timing
            )
            sentinels = watchers.sentinels
            client = watchers.master_for(address.service, **options)
        else:
            ((host, port),) = address.hosts
            client = redis.Redis(host=host, port=port, **options)
        link = cls(client, wait_replicas=address.wait_replicas)
        link._sentinels = sentinels
        return link

    async def ask(self, *command: Any) -> Any:
        """The answer to a command that changes nothing."""
        return await self._call(
            lambda: self._client.execute_command(*command), command=str(command[0])
        )

    async def ask_all(self, commands: Iterable[Sequence[Any]]) -> list[Any]:
        """The answers to many, in one round trip to each server."""
        asked = list(commands)

        async def attempt() -> list[Any]:
            line = self._client.pipeline(transaction=False)
            for command in asked:
                line.execute_command(*command)
            answers: list[Any] = await line.execute()
            return answers

        return await self._call(attempt, command=str(asked[0][0])) if asked else []

    async def write_all(self, commands: Iterable[Sequence[Any]]) -> None:
        """Commands that each change one key, given before the command."""
        listed = list(commands)
        if not self._wait_replicas:
            await self.ask_all(command[1:] for command in listed)
            return
        for key, *command in listed:
            await self.write(key, *command)

    async def scan(self, prefix: bytes, count: int) -> AsyncIterator[bytes]:
        """The records' keys (hashes) that begin with *prefix*; one may come twice."""
        nodes: Sequence[Any] = (None,)
        if isinstance(self._client, redis.RedisCluster):
            await self.ask("PING")  # by then it knows who is there
            nodes = self._client.get_primaries()
        for node in nodes:
            where = {} if node is None else {"target_nodes": node}
            cursor = 0
            while True:
                among = ("SCAN", cursor, "MATCH", prefix + b"*", "COUNT", count, "TYPE", "hash")
                attempt = partial(self._client.execute_command, *among, **where)
                after, keys = await self._call(attempt, command="SCAN")
                # Of a cluster it is one by the node's name.
                cursor = int(next(iter(after.values())) if isinstance(after, dict) else after)
                for key in keys:
                    yield key
                if not cursor:
                    break

    async def read(self, key: bytes, *command: Any) -> Any:
        """The answer to a command about *key*.

        If a write to it was not confirmed, this confirms it first: the caller may act on what it
        reads.
        """
        if key in self._unsure:
            return await self.write(key, *command)
        return await self.ask(*command)

    async def write(self, key: bytes, *command: Any) -> Any:
        """The answer to a command that changes *key*, once enough replicas have it."""
        if not self._wait_replicas:
            return await self.ask(*command)
        try:
            answer = await self._call(
                lambda: self._confirmed(key, command), command=str(command[0])
            )
        except BaseException:
            self._unsure[key] = None
            raise
        self._unsure.pop(key, None)
        return answer

    async def run(self, script: str, key: bytes, *values: Any) -> Any:
        """What *script* returns, run on the server of *key*.

        The text is sent each time: a server that has just taken over knows no hashes.
        """
        return await self.write(key, "EVAL", script, 1, key, *values)

    async def feed(self, channel: bytes) -> AsyncGenerator[bytes | None, None]:
        """The messages on *channel*; None when some may have been missed."""
        try:
            async with self._pubsub() as line:
                await line.subscribe(channel)
                silent = False
                while not self.closed.is_set():
                    message = await line.get_message(timeout=_HEARTBEAT)
                    if message is None:
                        if silent:
                            raise StoreUnavailable("the feed is silent")
                        await line.ping()
                    elif message["type"] == "subscribe":
                        yield None  # the first time, and when the driver has connected anew
                    elif message["type"] == "message":
                        yield message["data"]
                    silent = message is None
        except (*_FAILURES, *_STUMBLES) as error:
            if not _is_an_outage(error):
                raise
            raise translated(error, f"SUBSCRIBE {channel.decode()}") from None

    async def replicas(self) -> int:
        """How many replicas the server has; in a cluster, the average of all masters."""
        if isinstance(self._client, redis.RedisCluster):
            await self.ask("PING")  # by then it knows who is there
            return math.ceil(len(self._client.get_replicas()) / len(self._client.get_primaries()))
        return int((await self.ask("INFO", "replication"))["connected_slaves"])

    async def close(self) -> None:
        if self.closed.is_set():
            return
        self.closed.set()
        for client in (self._client, *self._sentinels):
            with contextlib.suppress(*_FAILURES, *_STUMBLES):
                async with asyncio.timeout(_SECONDS):
                    await client.aclose()

    async def _call(self, attempt: Callable[[], Awaitable[T]], *, command: str) -> T:
        """A whole call, including the wait for a free place."""
        if self.closed.is_set():
            raise StoreUnavailable("the store is closed")
        try:
            async with asyncio.timeout(_SECONDS), self._turns:
                return await attempt()
        except (*_FAILURES, *_STUMBLES) as error:
            if not _is_an_outage(error):
                raise
            raise translated(error, command) from None

    async def _confirmed(self, key: bytes, command: Sequence[Any]) -> Any:
        """WAIT is about the writes of its own connection, so it is sent with the command."""
        where = self._node_of(key)
        line = self._client.pipeline(transaction=False)
        line.execute_command(*command)
        wait = ("WAIT", self._wait_replicas, int(_CONFIRMATION * 1000))
        line.execute_command(*wait, **({} if where is None else {"target_nodes": where}))
        answer, confirmed = await line.execute()
        # Where the key has moved, the driver has sent the command after it, but not the WAIT.
        if confirmed < self._wait_replicas or self._node_of(key) != where:
            raise StoreUnavailable("too few replicas of Redis confirm the write")
        return answer

    def _node_of(self, key: bytes) -> Any:
        """The server that has *key*; None if there is only one."""
        if not isinstance(self._client, redis.RedisCluster):
            return None
        return self._client.nodes_manager.get_node_from_slot(self._client.keyslot(key))

    def _pubsub(self) -> Any:
        """Any node of a cluster gets what is published at any other."""
        if isinstance(self._client, redis.RedisCluster):
            return self._client.pubsub(node=self._client.get_random_node())
        return self._client.pubsub()


def _is_an_outage(error: BaseException) -> bool:
    """Whether the server or the driver failed, and not code of this package.

    A `TypeError` and its like count only where they were raised beneath a call of the driver.
    """
    return isinstance(error, _FAILURES) or any(
        frame.f_globals.get("__name__", "").partition(".")[0] == _DRIVER
        for frame, _ in traceback.walk_tb(error.__traceback__)
    )


def translated(error: BaseException, command: str) -> StoreError:
    """Mintage's error for the server's. Only what a person must fix is unusable."""
    if isinstance(error, failed.RedisClusterException):
        error = _refusal_of_a_node(error)
    name = type(error).__name__
    text = str(error)
    if isinstance(error, failed.NoPermissionError) or any(sign in text for sign in _FORBIDDEN):
        named = _COMMAND_NAMED.search(text)
        inside = f" ({named[1].upper()})" if named and named[1].upper() != command else ""
        return StoreUnusable(f"Redis's ACL does not allow this user {command}{inside}{_what(text)}")
    if "unknown command" in text.lower():
        return StoreUnusable(f"this Redis has no {command}: it was renamed or switched off")
    # As Sentinel's driver puts it, in its own words.
    if isinstance(error, failed.AuthenticationError) or "AuthenticationError" in text:
        return StoreUnusable(f"Redis refuses the user or password ({name})")
    if "Cluster mode is not enabled" in text:
        return StoreUnusable("this is no Redis Cluster; write redis:// for a single server")
    if "OOM" in text:
        return StoreUnavailable("Redis is out of memory")
    if isinstance(error, failed.ResponseError):
        return StoreUnavailable(f"Redis refuses {command} for now ({name}{_code(text)})")
    return StoreUnavailable(f"Redis does not answer ({name})")


def _refusal_of_a_node(error: BaseException) -> BaseException:
    """The error that the cluster's driver wraps in its own; else *error*."""
    met: BaseException | None = error
    while met is not None:
        if isinstance(met, failed.NoPermissionError | failed.AuthenticationError):
            return met
        met = met.__cause__ or met.__context__
    return error


def _what(text: str) -> str:
    """What the ACL forbids, if it is not the command."""
    return next((f" with this {kind}" for kind in ("key", "channel") if f" {kind}" in text), "")


def _code(text: str) -> str:
    """The first word if it is a code: then it contains nothing that was sent."""
    first = text.partition(" ")[0]
    return f" {first}" if first.isupper() and first.isalpha() else ""
