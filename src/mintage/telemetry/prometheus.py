"""The page for Prometheus: the numbers of one process, or of several together."""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mintage.extras import extra
from mintage.telemetry.cells import Key, Level, Snapshot, Times
from mintage.telemetry.metrics import BUCKETS, METRICS, Metric

with extra("metrics"):
    from prometheus_client import CollectorRegistry
    from prometheus_client.core import (
        CounterMetricFamily,
        GaugeMetricFamily,
        HistogramMetricFamily,
    )
    from prometheus_client.exposition import choose_encoder
    from prometheus_client.metrics_core import Metric as Family
    from prometheus_client.registry import Collector

PATH: Final = "/metrics"
WORKER: Final = "worker"
"""The label of gauges that each process has for itself."""

Snapshots = Callable[[], Iterable[tuple[str, Snapshot]]]
"""(number of a process, its numbers) for each process, as they are now."""


class Collected(Collector):
    """What prometheus-client asks for the metrics."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots

    def describe(self) -> Iterator[Family]:
        return iter(())

    def collect(self) -> Iterator[Family]:
        all_of_them = list(self._snapshots())
        counts = _merged(all_of_them)
        for metric in METRICS:
            match metric.kind:
                case "counter":
                    yield _counter(metric, counts.counts)
                case "gauge":
                    yield _gauge(metric, all_of_them)
                case "histogram":
                    yield _histogram(metric, counts.times)


def registry_of(snapshots: Snapshots) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Collected(snapshots))
    return registry


def page(registry: CollectorRegistry) -> ASGIApp:
    """An ASGI application that serves *registry* at ``/metrics``, and nothing else."""

    async def metrics(request: Request) -> Response:
        write, kind = choose_encoder(request.headers.get("accept", ""))
        return Response(write(registry), headers={"content-type": kind})

    return Starlette(routes=[Route(PATH, metrics)])


def _merged(snapshots: Iterable[tuple[str, Snapshot]]) -> Snapshot:
    """The sums of all processes."""
    counts: dict[Key, float] = {}
    times: dict[Key, Times] = {}
    for _, snapshot in snapshots:
        for key, count in snapshot.counts:
            counts[key] = counts.get(key, 0.0) + count
        for key, more in snapshot.times:
            had = times.get(key, Times([0] * len(more.buckets), 0.0))
            buckets = [a + b for a, b in zip(had.buckets, more.buckets, strict=True)]
            times[key] = Times(buckets, had.seconds + more.seconds)
    return Snapshot(list(counts.items()), [], list(times.items()))


def _counter(metric: Metric, counts: list[tuple[Key, float]]) -> Family:
    family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
    for (name, labels), count in counts:
        if name == metric.name:
            family.add_metric(labels, count)
    return family


def _histogram(metric: Metric, found: list[tuple[Key, Times]]) -> Family:
    family = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
    for (name, labels), times in found:
        if name == metric.name:
            family.add_metric(labels, _cumulated(times), times.seconds)
    return family


def _cumulated(times: Times) -> list[tuple[str, float]]:
    """Each upper limit, and how many were at most that."""
    limits, so_far = [*map(str, BUCKETS), "+Inf"], 0
    found: list[tuple[str, float]] = []
    for limit, count in zip(limits, times.buckets, strict=True):
        so_far += count
        found.append((limit, so_far))
    return found


def _gauge(metric: Metric, snapshots: Iterable[tuple[str, Snapshot]]) -> Family:
    each = metric.merge == "liveall"
    names = (*metric.labels, WORKER) if each else metric.labels
    family = GaugeMetricFamily(metric.name, metric.help, labels=names)
    merged: dict[tuple[str, ...], Level] = {}
    for number, snapshot in snapshots:
        for (name, labels), level in snapshot.levels:
            if name == metric.name:
                key = (*labels, number) if each else labels
                merged[key] = _together(metric, merged.get(key), level)
    for labels, level in merged.items():
        family.add_metric(labels, level.value)
    return family


def _together(metric: Metric, had: Level | None, more: Level) -> Level:
    if had is None:
        return more
    match metric.merge:
        case "livesum":
            return Level(had.value + more.value, more.at)
        case "livemax":
            return max(had, more, key=lambda level: level.value)
        case _:
            return max(had, more, key=lambda level: level.at)
