"""What a page of metrics says."""

from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from mintage.telemetry.cells import Cells
from mintage.telemetry.prometheus import registry_of


def samples(page: str) -> Iterator[Sample]:
    for family in text_string_to_metric_families(page):
        yield from family.samples


def value(page: str, name: str, **labels: str) -> float:
    """The sum of the samples *name* that have *labels*."""
    return sum(
        sample.value
        for sample in samples(page)
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def series(page: str) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {(sample.name, tuple(sorted(sample.labels.items()))) for sample in samples(page)}


@dataclass(frozen=True)
class Numbers:
    """The metrics of this process, as a scrape would read them."""

    cells: Cells

    @property
    def page(self) -> str:
        registry = registry_of(lambda: [("0", self.cells.snapshot())])
        return generate_latest(registry).decode()

    def __call__(self, name: str, **labels: str) -> float:
        return value(self.page, name, **labels)
