"""``mintage serve``: wrong settings in one line, and exit code 2."""

from pathlib import Path

import pytest

from tests.cli.command import mintage

CONFIG = """
issuer = "{issuer}"
store  = "sqlite://{directory}/mintage.db"
[upstream]
issuer    = "https://login.example.com"
client_id = "mintage"
[[resource]]
path       = "/mcp"
backend    = "{backend}"
credential = "none"
"""


@pytest.mark.parametrize(
    ("content", "key"),
    [("", "issuer"), ("issuer = ", "--config"), (CONFIG + "x = 1", "resource[0].x")],
)
def test_a_wrong_setting_is_one_line_and_exit_code_2(
    tmp_path: Path, content: str, key: str
) -> None:
    file = tmp_path / "mintage.toml"
    file.write_text(content)
    found = mintage("serve", "--config", str(file))
    assert (found.returncode, found.stdout) == (2, b"")
    assert found.stderr.startswith(f"mintage: {key}: ".encode())
    assert found.stderr.count(b"\n") == 1
