"""Odd requests, drawn from ``corpus.toml`` and respelled by hypothesis."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hypothesis import strategies as st

CORPUS: Final[dict[str, Any]] = tomllib.loads((Path(__file__).parent / "corpus.toml").read_text())
USERS: Final = ("root", "admin", "files", "mcp")
FORGED: Final = "f0rged"
MESSAGE: Final = ("Content-Type: application/json", "Accept: application/json, text/event-stream")


_CLAIMED: Final = [*CORPUS["claimed"], *CORPUS["claimed_at_the_gateway"]]


@dataclass(frozen=True, slots=True)
class Odd:
    """A request as a client may write it. *user*: whose token it has; empty: none.

    *path* is below the application's own. *rest* is sent right behind it on the same connection.
    """

    user: str
    method: str = "GET"
    path: str = "/x"
    lines: tuple[str, ...] = ()
    body: bytes = b""
    chunked: bool = False
    trailers: tuple[str, ...] = ()
    rest: bytes = b""

    def written(self, *, prefix: str, host: str, token: str, number: str) -> bytes:
        """Its bytes. *number* is in the query and in a header, to know it again."""
        mark = "&" if "?" in self.path else "?"
        head = [f"{self.method} {prefix}{self.path}{mark}lab={number} HTTP/1.1", f"Host: {host}"]
        head.append(f"X-Lab-Id: {number}")
        if self.user:
            head.append(f"Authorization: Bearer {token}")
        head += [line.replace("{token}", token) for line in self.lines]
        if self.chunked:
            head.append("Transfer-Encoding: chunked")
        elif self.body:
            head.append(f"Content-Length: {len(self.body)}")
        return "\r\n".join([*head, "", ""]).encode("latin-1") + self._framed() + self.rest

    def _framed(self) -> bytes:
        if not self.chunked:
            return self.body
        chunk = b"%x\r\n%b\r\n" % (len(self.body), self.body) if self.body else b""
        end = "".join(f"{line}\r\n" for line in self.trailers).encode("latin-1")
        return chunk + b"0\r\n" + end + b"\r\n"


def respelled(text: str, mask: int, kind: int) -> str:
    """*text* with the letters and slashes that *mask* says encoded, or in the other case."""
    spelled = []
    for at, char in enumerate(text):
        if not mask >> at & 1 or not (char.isascii() and (char.isalnum() or char in "/.")):
            spelled.append(char)
        elif kind == 0:
            spelled.append(f"%{ord(char):02x}")
        elif kind == 1:
            spelled.append(f"%{ord(char):02X}")
        elif kind == 2:
            spelled.append(char.swapcase())
        else:
            spelled.append(f"%25{ord(char):02x}")
    return "".join(spelled)


def _respelled_names(names: list[str]) -> st.SearchStrategy[str]:
    """A header's name with other punctuation and other capitals."""

    def built(name: str, mark: str, count: int, case: int) -> str:
        changed = name.replace("-", mark, count) if count else name
        return (changed.lower, changed.title, changed.upper)[case]()

    marks = st.sampled_from(CORPUS["punctuation"])
    return st.builds(built, st.sampled_from(names), marks, st.integers(0, 4), st.integers(0, 2))


_WORDS = st.lists(
    st.sampled_from(
        ["admin", "secret", "files", "keys", "mcp", "x", "..", ".", "", ";", "%2f", "%5c", "%3b",
         "%3f", "%23", "%2e", "%00", "%25", "[", "%c0%ae", "%ef%bc%8f", "%20"]
    ),
    max_size=5,
)  # fmt: skip
PATHS = st.one_of(
    st.sampled_from(CORPUS["paths"]),
    st.builds(
        respelled, st.sampled_from(CORPUS["paths"]), st.integers(0, 2**12), st.integers(0, 3)
    ),
    _WORDS.map(lambda words: "/" + "/".join(words)),
    _WORDS.map(lambda words: "/" + "".join(words)),
)
CLAIMS = st.builds(
    lambda name, blank: f"{name}:{blank}{FORGED}",
    _respelled_names(_CLAIMED),
    st.sampled_from([" ", "", "\t"]),
)
CONNECTIONS = st.builds(
    lambda name, value: f"{name}: {value}",
    st.sampled_from(["Connection", "connection", "CONNECTION", "Proxy-Connection", "Keep-Alive"]),
    st.sampled_from(CORPUS["connections"]),
)
COOKIES = st.lists(st.sampled_from(CORPUS["cookies"]), min_size=1, max_size=3).map(
    lambda values: "Cookie: " + "; ".join(values)
)
LINES = st.lists(
    st.one_of(CLAIMS, CLAIMS, CONNECTIONS, COOKIES, st.sampled_from(CORPUS["lines"])), max_size=4
).map(tuple)
ODD_PATHS = st.builds(Odd, user=st.sampled_from((*USERS, "")), path=PATHS)
ODD_LINES = st.builds(Odd, user=st.sampled_from(USERS), lines=LINES)
ODD_METHODS = st.builds(
    Odd, user=st.sampled_from(USERS), method=st.sampled_from(CORPUS["methods"]), path=PATHS
)
ODD_BODIES = st.builds(
    Odd,
    user=st.sampled_from(USERS),
    method=st.just("POST"),
    lines=LINES,
    body=st.sampled_from(
        [b"", b"a=1", b"0\r\n\r\nGET /x HTTP/1.1\r\nX-Forwarded-User: f0rged\r\n\r\n"]
    ),
    chunked=st.booleans(),
    trailers=st.lists(st.sampled_from(CORPUS["trailers"]), max_size=2).map(tuple),
)
ODD_MESSAGES = st.builds(
    lambda lines, body, connection: Odd(
        user="mcp",
        method="POST",
        path="/mcp",
        lines=(*MESSAGE, *lines, *connection),
        body=body.encode(),
    ),
    st.sampled_from(CORPUS["mcp_lines"]),
    st.sampled_from(CORPUS["mcp_bodies"]),
    st.lists(CONNECTIONS, max_size=1),
)


def _in_its_own_place(odd: Odd, keep: int) -> Odd:
    """Most requests begin where their token is good: others would only be refused."""
    own = {"root": "", "": "", "admin": "/admin", "files": "/files", "mcp": "/mcp"}[odd.user]
    if keep == 0 or (odd.path.startswith(own) and own):
        return odd
    return Odd(
        user=odd.user, method=odd.method, path=own + odd.path, lines=odd.lines, body=odd.body,
        chunked=odd.chunked, trailers=odd.trailers if odd.chunked else (), rest=odd.rest,
    )  # fmt: skip


ODD = st.builds(
    _in_its_own_place,
    st.one_of(ODD_PATHS, ODD_PATHS, ODD_LINES, ODD_LINES, ODD_METHODS, ODD_BODIES, ODD_MESSAGES),
    st.integers(0, 3),
)


def corpus() -> list[Odd]:
    """Each line of the corpus once, by itself."""
    found = [Odd(user, path=path) for path in CORPUS["paths"] for user in ("root", "files")]
    found += [Odd("root", method=method) for method in CORPUS["methods"]]
    found += [Odd("root", lines=(f"Connection: {value}",)) for value in CORPUS["connections"]]
    found += [Odd("root", lines=(f"Cookie: {value}",)) for value in CORPUS["cookies"]]
    found += [Odd("root", lines=(line,)) for line in CORPUS["lines"]]
    found += [
        Odd(
            "root",
            lines=tuple(
                f"{name.replace('-', mark)}: {FORGED}"
                for name in _CLAIMED
                if name != "authorization"
            ),
        )
        for mark in CORPUS["punctuation"]
    ]
    found += [
        Odd("root", method="POST", body=b"a", chunked=True, trailers=(line,))
        for line in CORPUS["trailers"]
    ]
    found += [
        Odd(
            "root",
            "POST",
            lines=(f"Trailer: {line.split(':')[0]}",),
            body=b"a",
            chunked=True,
            trailers=(line,),
        )
        for line in CORPUS["trailers"]
    ]
    found += [
        Odd("mcp", "POST", "/mcp", (*MESSAGE, *lines), body.encode())
        for lines in CORPUS["mcp_lines"]
        for body in CORPUS["mcp_bodies"]
    ]
    return found
