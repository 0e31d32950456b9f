"""How far a long command is, in words."""

import io

import pytest

from mintage.cli.progress import Progress, duration, line


@pytest.mark.parametrize(
    ("done", "total", "seconds", "said"),
    [
        (12_000, 48_000, 6.0, "copying: 12,000 of 48,000 (25 %), 2,000/s, 18 s left"),
        (48_000, 48_000, 24.0, "copying: 48,000 of 48,000 (100 %), 2,000/s, 0 s left"),
        (50_000, 48_000, 25.0, "copying: 50,000 of 48,000 (100 %), 2,000/s, 0 s left"),
        (12_000, None, 6.0, "copying: 12,000, 2,000/s"),
        (0, 0, 0.0, "copying: 0, 0/s"),
        (0, 5, 0.0, "copying: 0 of 5 (0 %), 0/s"),
    ],
)
def test_a_line(done: int, total: int | None, seconds: float, said: str) -> None:
    assert line("copying", done, total, seconds) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.4, "0 s"), (59.6, "1 min 0 s"), (250, "4 min 10 s"), (7500, "2 h 5 min")],
)
def test_a_duration(seconds: float, said: str) -> None:
    assert duration(seconds) == said


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_changes_and_then_goes() -> None:
    out, now = Terminal(), [0.0]
    progress = Progress("copying", 1000, clock=lambda: now[0], out=out)
    for done in range(1, 11):
        now[0] = done / 8
        progress(done * 100)
    progress.end()
    said = out.getvalue()
    assert "\n" not in said
    assert said.count("copying: ") == 5  # one each quarter of a second
    assert said.endswith("\r")
    assert said.rstrip("\r").rpartition("\r")[2].strip() == ""


def test_a_file_gets_a_line_each_ten_seconds() -> None:
    out, now = io.StringIO(), [0.0]
    progress = Progress("copying", 1000, clock=lambda: now[0], out=out)
    for second in range(1, 26):
        now[0] = float(second)
        progress(second * 10)
    progress.end()
    assert out.getvalue().splitlines() == [
        "copying: 100 of 1,000 (10 %), 10/s, 1 min 30 s left",
        "copying: 200 of 1,000 (20 %), 10/s, 1 min 20 s left",
    ]


def test_another_round_is_measured_from_its_own_beginning() -> None:
    out, now = io.StringIO(), [0.0]
    progress = Progress("copying", 1000, clock=lambda: now[0], out=out)
    for second, done in ((9, 1000), (29, 10), (34, 500)):
        now[0] = float(second)
        progress(done)
    now[0] = 39.0
    progress(1000)
    assert out.getvalue().splitlines()[-1] == "copying: 1,000 of 1,000 (100 %), 100/s, 0 s left"
