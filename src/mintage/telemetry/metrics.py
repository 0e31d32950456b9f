"""The metrics in one table, for the programs that collect them and for the manual.

Every label is bounded. Its values are words of this program, or names in the settings. Nothing that
a client sends becomes a label.
"""

from typing import Final, Literal, TypeAlias

import msgspec

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]
Merge: TypeAlias = Literal["livesum", "livemax", "liveall", "mostrecent"]

BUCKETS: Final = (
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
)  # fmt: skip
"""The upper limits of a histogram's buckets, in seconds."""


class Metric(msgspec.Struct, frozen=True, eq=False):
    """*merge*: what a gauge shows of several processes: a sum, the highest, each, or the last."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    merge: Merge = "livesum"


REQUEST_SECONDS: Final = Metric(
    "mintage_request_seconds",
    "histogram",
    "Seconds from a request to the head of its response.",
    ("endpoint", "resource", "status"),
)
OPEN_STREAMS: Final = Metric(
    "mintage_open_streams", "gauge", "Event streams to clients that are open.", ("resource",)
)
OPEN_WEBSOCKETS: Final = Metric(
    "mintage_open_websockets", "gauge", "WebSockets of clients that are open.", ("resource",)
)
BACKEND_SECONDS: Final = Metric(
    "mintage_backend_seconds",
    "histogram",
    "Seconds from a request to a backend to the head of its response.",
    ("resource", "outcome"),
)
BACKEND_REQUESTS: Final = Metric(
    "mintage_backend_requests",
    "gauge",
    "Requests and streams to a backend that are open; the limit is resource.max_requests.",
    ("resource",),
)
PROVIDER_SECONDS: Final = Metric(
    "mintage_provider_seconds",
    "histogram",
    "Seconds of a question to an identity provider, with all requests that it takes.",
    ("provider", "question", "outcome"),
)
PROVIDER_HTTP_SECONDS: Final = Metric(
    "mintage_provider_http_seconds",
    "histogram",
    "Seconds of one HTTP request to an identity provider, with its retries.",
    ("provider", "request", "status"),
)
PROVIDER_UP: Final = Metric(
    "mintage_provider_up",
    "gauge",
    "Whether the identity provider answered the last HTTP request.",
    ("provider",),
    "mostrecent",
)
STORE_SECONDS: Final = Metric(
    "mintage_store_seconds",
    "histogram",
    "Seconds of an operation of the store.",
    ("operation", "outcome"),
)
STORE_RESTING: Final = Metric(
    "mintage_store_resting",
    "gauge",
    "Whether a process leaves the store alone for a moment because it did not answer.",
    merge="livemax",
)
CACHE_LOOKUPS: Final = Metric(
    "mintage_cache_lookups_total",
    "counter",
    "Grants that were found in the cache (hit) or had to be read from the store (miss).",
    ("result",),
)
GRANTS: Final = Metric(
    "mintage_grants",
    "gauge",
    "Live grants in the store, counted every five minutes. Servers on one store show the same.",
    merge="mostrecent",
)
CACHED_GRANTS: Final = Metric(
    "mintage_cached_grants",
    "gauge",
    "Decrypted grants in the caches: those that were used a short time ago.",
)
RENEWALS_PAUSED: Final = Metric(
    "mintage_renewals_paused",
    "gauge",
    "Grants for which the provider failed a moment ago, so that it is not asked again yet.",
)
LOGINS: Final = Metric(
    "mintage_logins_total",
    "counter",
    "Users who came back from a provider: admitted, or refused, and by which check.",
    ("provider", "outcome", "stage"),
)
REFUSALS: Final = Metric(
    "mintage_refusals_total",
    "counter",
    "Requests that were refused: where, by which check, and with which OAuth error.",
    ("endpoint", "stage", "error"),
)
TOKENS: Final = Metric(
    "mintage_tokens_total", "counter", "Responses with new tokens.", ("grant_type",)
)
RENEWALS: Final = Metric(
    "mintage_renewals_total",
    "counter",
    "Renewals of a provider's tokens: renewed, refused, unavailable or misbehaved.",
    ("provider", "outcome"),
)
GRANTS_ENDED: Final = Metric(
    "mintage_grants_ended_total", "counter", "Grants that ended, and who ended them.", ("by",)
)
EVENTS: Final = Metric(
    "mintage_security_events_total", "counter", "Security events, by their name.", ("event",)
)
COMMAND_PROCESSES: Final = Metric(
    "mintage_command_processes",
    "gauge",
    "Processes of a resource's command that are running.",
    ("resource",),
)
PROCESSES: Final = Metric("mintage_processes", "gauge", "Server processes that are running.")
PROCESS_CPU: Final = Metric(
    "mintage_process_cpu_seconds_total",
    "counter",
    "Processor seconds that the server processes used.",
)
PROCESS_MEMORY: Final = Metric(
    "mintage_process_resident_memory_bytes",
    "gauge",
    "Resident memory of each server process.",
    merge="liveall",
)
PROCESS_FILES: Final = Metric(
    "mintage_process_open_fds",
    "gauge",
    "Open file descriptors of each server process.",
    merge="liveall",
)
LOOP_LAG: Final = Metric(
    "mintage_event_loop_lag_seconds",
    "gauge",
    "By how much a timer was late in each server process: it has too much to do.",
    merge="liveall",
)

METRICS: Final = (
    REQUEST_SECONDS,
    OPEN_STREAMS,
    OPEN_WEBSOCKETS,
    BACKEND_SECONDS,
    BACKEND_REQUESTS,
    PROVIDER_SECONDS,
    PROVIDER_HTTP_SECONDS,
    PROVIDER_UP,
    STORE_SECONDS,
    STORE_RESTING,
    CACHE_LOOKUPS,
    GRANTS,
    CACHED_GRANTS,
    RENEWALS_PAUSED,
    LOGINS,
    REFUSALS,
    TOKENS,
    RENEWALS,
    GRANTS_ENDED,
    EVENTS,
    COMMAND_PROCESSES,
    PROCESSES,
    PROCESS_CPU,
    PROCESS_MEMORY,
    PROCESS_FILES,
    LOOP_LAG,
)
