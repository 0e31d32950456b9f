"""The tables of docs/errors.md, written from the rows that the tests send (``make docs``)."""

import tomllib
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs/errors.md"
DATA: Final = ROOT / "tests/server/errors.toml"
_HOW: Final = {
    "page": "page",
    "developer": "page for the developer",
    "link": "page with a link to the client",
    "redirect": "redirect to the client",
    "onward": "page that continues to the client",
    "json": "",
}
_PLACES: Final = {
    "documents": "`/.well-known/…` and `/jwks`",
    "resource": "A resource, at the gateway",
    "sign_in": "`/mintage/sign-in`",
    "sign_out": "`/mintage/sign-out`",
    "site": "A resource with `browser = true`, with a session's cookie",
    "anywhere": "Anywhere",
    "connection": "A connection, before there is a request",
}


def page() -> str:
    """The page as it should be: what is written by hand, up to the first table, and the tables."""
    head = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    table: dict[str, list[dict[str, Any]]] = tomllib.loads(DATA.read_text(encoding="utf-8"))
    return "\n".join([head, *(_section(name, rows) for name, rows in table.items())])


def _section(name: str, rows: list[dict[str, Any]]) -> str:
    lines = [
        f"## {_PLACES.get(name, f'`/{name}`')}\n",
        "| input | status | `error` | `error_description` | in the log |",
        "|---|---|---|---|---|",
        *map(_line, rows),
    ]
    return "\n".join(lines) + "\n"


def _line(row: dict[str, Any]) -> str:
    how = _HOW[row.get("kind", "json")]
    status = f"{row['status']} {how}".strip()
    challenged = ", `WWW-Authenticate`" if "challenge" in row else ""
    said = row["says"].replace("{issuer}", "https://auth.example.com").replace("|", "\\|")
    logged = " ".join(f"`{row[name]}`" for name in ("stage", "reason") if name in row)
    return f"| {row['input']} | {status}{challenged} | `{row['error']}` | {said} | {logged} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
