"""The documented ways to run Mintage: what the pages say to type is typed, up to a login.

`python -m tools.ways` follows them all, with their downloads.
"""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from tools.ways import text, ways
from tools.ways.__main__ import follow
from tools.ways.place import Failed, empty_place
from tools.ways.ways import WAYS, Way


@pytest.mark.parametrize("way", [way for way in WAYS if way.quick], ids=lambda way: way.name)
def test_a_way_is_followed_to_its_end(way: Way, tmp_path: Path) -> None:
    """Without its downloads: the packages are this environment's."""
    if missing := way.lacks():
        pytest.skip(f"{', '.join(missing)} is not installed")
    result = follow(way, tmp_path, linked=True)
    assert result.good, result.said
    if way.name not in ("systemd", "library") and "not run" not in result.said:
        assert result.said.startswith("whoami says ")


def test_the_pages_say_what_the_ways_type() -> None:
    """Also those ways that take minutes: each line that they look for is on its page."""
    assert text.row(ways.README, "a clone") == ["make demo"]
    for name in ("uv", "pipx", "pip"):
        assert text.row(ways.README, name)[-1].endswith("mintage demo")
    for page, having in (
        (ways.README, "issuer.verify_token"),
        (ways.TUTORIAL, "nanoidp init"),
        (ways.DEVELOP, "mintage dev --backend"),
    ):
        assert having in text.block(page, having)
    assert not text.line(ways.TUTORIAL, "mintage init").startswith("$")
    assert "deploy/build-image" in ways.line_in("docs/how-to/run-in-containers.md")


def test_what_no_page_says_is_not_typed() -> None:
    with pytest.raises(text.NotSaid, match="no code block"):
        text.block(ways.README, "curl https://example.com | sh")
    with pytest.raises(text.NotSaid, match="no row"):
        text.row(ways.README, "conda")


def test_a_line_that_fails_fails_the_way(tmp_path: Path) -> None:
    with empty_place(tmp_path) as place:
        assert list(place.directory.iterdir()) == []
        assert list(place.home.iterdir()) == []
        with pytest.raises(Failed, match="exit code 3"):
            place.type("sh -c 'exit 3'\necho not reached")
        place.type("mkdir inner\ncd inner\nexport SAID='two words'")
        assert place.type('echo "$SAID" in "${PWD##*/}" of "$HOME"').split() == [
            "two", "words", "in", "inner", "of", str(place.home)
        ]  # fmt: skip


def test_each_way_is_said_in_the_list() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tools.ways", "--list"],
        cwd=text.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert [line.split()[0] for line in done.stdout.splitlines()] == [way.name for way in WAYS]
    assert all(inspect.isfunction(way.follow) for way in WAYS)
