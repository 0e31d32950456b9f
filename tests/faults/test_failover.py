"""What a failover of Redis may lose, and what it may not; and every way to a Sentinel."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mintage.errors import StoreUnavailable, StoreUnusable
from mintage.stores.opening import open_store
from mintage.stores.protocol import Store, Versioned
from mintage.testing.nanoidp import free_port
from tests.faults.failover import Sentinels, watcher
from tests.faults.fault_rigs import redis_cli
from tests.support.servers import Server, Wire, program, redis_server, started

FAR = 2**40
pytestmark = [
    pytest.mark.xdist_group("faults-sentinel"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Store]:
    store = await open_store(url, clock=time.time)
    try:
        yield store
    finally:
        await store.close()


@dataclass
class Pair:
    """A master and its replica; *front* leads to who is in charge, *back* is between them."""

    master: Server
    replica: Server
    front: Wire
    back: Wire

    def url(self, wait_replicas: int) -> str:
        return f"redis://127.0.0.1:{self.front.port}/0?wait_replicas={wait_replicas}"

    async def fail_over(self) -> None:
        """The master dies with what it had not sent, and the replica takes over."""
        self.master.kill()
        self.back.break_off()
        await redis_cli(self.replica.port, "replicaof", "no", "one")
        self.front.target = self.replica.port
        self.front.break_off()


async def loaded(store: Store, key: bytes) -> Versioned | None:
    """What is under *key*, as soon as the store answers again."""
    async with asyncio.timeout(20):
        while True:
            try:
                return await store.load(key)
            except StoreUnavailable:
                await asyncio.sleep(0.05)


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with AsyncExitStack() as stack:
        at_once = ("--repl-diskless-sync-delay", "0")
        master = stack.enter_context(started(redis_server(tmp_path / "master", *at_once)))
        back = await stack.enter_async_context(Wire(master.port).running())
        front = await stack.enter_async_context(Wire(master.port).running())
        server = redis_server(tmp_path / "replica", "--replicaof", f"127.0.0.1 {back.port}")
        replica = await asyncio.to_thread(stack.enter_context, started(server))
        async with asyncio.timeout(20):
            while "state=online" not in await redis_cli(master.port, "info", "replication"):
                await asyncio.sleep(0.05)
        yield Pair(master, replica, front, back)


async def test_without_waiting_a_failover_loses_what_no_replica_had(pair: Pair) -> None:
    """Redis acknowledged it, and said nothing untrue: replication is behind the answer."""
    async with opened(pair.url(wait_replicas=0)) as store:
        pair.back.swallow()
        await store.insert(b"not waited for", b"", None, FAR)
        await pair.fail_over()
        assert await loaded(store, b"not waited for") is None


async def test_waiting_for_replicas_acknowledges_nothing_that_a_failover_loses(pair: Pair) -> None:
    async with opened(pair.url(wait_replicas=1)) as store:
        await store.insert(b"both have it", b"", None, FAR)
        pair.back.swallow()
        with pytest.raises(StoreUnavailable, match="too few replicas"):
            await store.insert(b"one has it", b"", None, FAR)
        # Nor is it told as a fact to whoever asks next.
        with pytest.raises(StoreUnavailable, match="too few replicas"):
            await store.load(b"one has it")
        await pair.fail_over()
        assert await loaded(store, b"both have it") is not None


async def test_a_failover_that_may_lose_something_is_warned_about(
    sentinels: Sentinels, caplog: pytest.LogCaptureFixture
) -> None:
    await sentinels.whole()
    for waits, warned in ((2, False), (1, True), (0, True)):
        caplog.clear()
        async with opened(sentinels.url(wait_replicas=waits)):
            assert ("wait_replicas=2" in caplog.text) is warned, waits


async def test_a_dead_sentinel_among_those_named_does_not_matter(sentinels: Sentinels) -> None:
    await sentinels.whole()
    alive = sentinels.watchers[0].port
    url = f"redis+sentinel://127.0.0.1:{free_port()},127.0.0.1:{alive}/mymaster"
    async with opened(url) as store:
        await store.insert(b"by the second", b"", None, FAR)
        assert await store.load(b"by the second") is not None


async def test_passwords_of_redis_and_of_sentinel_are_their_own(tmp_path: Path) -> None:
    with ExitStack() as stack:
        locked = redis_server(tmp_path / "redis", "--requirepass", "p@ss:word")
        locked.ready[1:1] = ["-a", "p@ss:word", "--no-auth-warning"]
        stack.enter_context(started(locked))
        watching = watcher(
            tmp_path / "sentinel",
            locked.port,
            "sentinel auth-pass mymaster p@ss:word",
            "requirepass another",
        )
        stack.enter_context(started(watching))
        places = f"127.0.0.1:{watching.port}/mymaster"
        right = f"redis+sentinel://:p%40ss%3Aword@{places}?sentinel_password=another"
        async with opened(right) as store:
            await store.insert(b"k", b"", None, FAR)
        for wrong in (
            f"redis+sentinel://:wrong@{places}?sentinel_password=another",
            f"redis+sentinel://:p%40ss%3Aword@{places}",
        ):
            with pytest.raises(StoreUnusable, match="password"):
                await open_store(wrong, clock=time.time)


async def test_tls_reaches_redis_and_sentinel(tmp_path: Path) -> None:
    certificate, key = certified(tmp_path)
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file",
             certificate, "--tls-auth-clients", "no", "--tls-replication", "yes")  # fmt: skip
    with ExitStack() as stack:
        redis = stack.enter_context(started(with_tls(tmp_path / "redis", files)))
        settings = [f"tls-port {free_port()}", *(
            f"{name.removeprefix('--')} {value}"
            for name, value in zip(files[::2], files[1::2], strict=True)
        )]  # fmt: skip
        watching = watcher(tmp_path / "sentinel", redis.port, *settings)
        stack.enter_context(started(watching))
        port = settings[0].split()[1]
        url = f"rediss+sentinel://127.0.0.1:{port}/mymaster?ssl_ca_certs={certificate}"
        async with opened(url) as store:
            await store.insert(b"k", b"", None, FAR)
            assert await store.load(b"k") is not None
        with pytest.raises(StoreUnavailable):
            await open_store(url.replace("rediss", "redis").split("?")[0], clock=time.time)


@pytest.mark.parametrize("query", ["wait_replicas=many", "socket_timeout=soon", "ssl_ca_certs=x"])
async def test_a_url_that_means_nothing_says_so(query: str) -> None:
    with pytest.raises(StoreUnusable, match="can't be read"):
        await open_store(f"redis://127.0.0.1:1/0?{query}", clock=time.time)


async def test_a_master_that_sentinel_does_not_know_is_an_outage(sentinels: Sentinels) -> None:
    """It may be watched in a moment; who starts Mintage tries again."""
    await sentinels.whole()
    url = sentinels.url(0).replace("mymaster", "nobodys")
    with pytest.raises(StoreUnavailable):
        await open_store(url, clock=time.time)
    assert await redis_cli(sentinels.watchers[0].port, "ping") == "PONG\n"


def with_tls(directory: Path, files: tuple[str, ...]) -> Server:
    """A server that speaks nothing else."""
    server = redis_server(directory, *files)
    port = server.command.index("--port")
    server.command[port : port + 2] = ["--port", "0", "--tls-port", str(server.port)]
    server.ready = [
        program("redis-cli"), "--tls", "--cacert", files[1], "-p", str(server.port), "ping",
    ]  # fmt: skip
    return server


def certified(directory: Path) -> tuple[str, str]:
    """A certificate for loopback, signed by itself, and its key: (path, path)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "loopback")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False
        )
        .sign(key, hashes.SHA256())
    )
    paths = directory / "certificate.pem", directory / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return str(paths[0]), str(paths[1])
