"""What every test has: the fixtures of `tests.support`, and settings for a busy machine."""

import gc
import logging
import os
import shutil
import warnings
from collections.abc import Generator
from typing import Final

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings

# A failed assertion of a helper says what it compared, as one of a test does.
pytest.register_assert_rewrite("tests.support")

pytest_plugins = [
    "tests.support.world",
    "tests.support.counted_stores",
    "tests.support.engines",
    "tests.support.node",
    "tests.support.raw_backend",
    "tests.support.stage",
    "tests.support.tab",
    "tests.support.trusting",
]

# A loaded machine is slow, which is no property of the code under test.
hypothesis_settings.register_profile(
    "mintage", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("mintage")


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of an installed Chromium. Without one the test skips; in CI it fails."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is not installed")
        pytest.skip("Chromium is not installed")
    return path


@pytest.fixture(autouse=True)
def _logs_as_before() -> Generator[None, None, None]:
    """What a command sets up in this process ends with its test: levels and handlers of logs."""
    before = {each: (each.level, each.propagate, [*each.handlers]) for each in _loggers()}
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    yield
    for each in _loggers():
        level, each.propagate, each.handlers = before.get(each, (logging.NOTSET, True, []))
        if each.level != level:
            each.setLevel(level)


def _loggers() -> list[logging.Logger]:
    return [logging.root, *map(logging.getLogger, [*logging.root.manager.loggerDict])]


_LONG: Final = 20  # seconds


def pytest_configure(config: pytest.Config) -> None:
    """In CI say at once what failed and what took long: a run may be ended before its summary."""
    if os.environ.get("CI") and not hasattr(config, "workerinput"):
        config.pluginmanager.register(_SayAtOnce(config))


class _SayAtOnce:
    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        terminal = self._config.pluginmanager.get_plugin("terminalreporter")
        assert terminal is not None
        if report.failed:
            terminal.write_line(f"\nFAILED {report.nodeid} ({report.when})\n{report.longreprtext}")
        elif report.duration > _LONG:
            terminal.write_line(f"\n{report.duration:.0f} s {report.nodeid} ({report.when})")


_BREAKING: Final = ("tests/faults/", "tests/stores/test_faults.py", "test_provider_connections.py")


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Collect what drivers drop when a test breaks a server: it would warn in a later test."""
    yield
    if any(part in item.nodeid for part in _BREAKING):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()
