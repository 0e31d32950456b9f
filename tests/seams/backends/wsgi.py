"""A plain WSGI application on the standard library's server: it reads as CGI does.

``python -m tests.seams.backends.wsgi PORT LOG PREFIX…``
"""

import sys
from collections.abc import Callable, Iterable
from http.cookies import CookieError, SimpleCookie
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from tests.seams.backends.reports import Log, place_of


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True
    request_queue_size = 256


class Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: the report says it."""


def application(log: Log, prefixes: list[str]) -> Callable[..., Iterable[bytes]]:
    def handle(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        length = environ.get("CONTENT_LENGTH") or "0"
        try:
            cookies = dict.fromkeys(SimpleCookie(environ.get("HTTP_COOKIE", "")), "")
        except CookieError:
            cookies = {}
        log.write(
            method=environ["REQUEST_METHOD"],
            target=path + "?" + environ.get("QUERY_STRING", ""),
            places=[place_of(segments_below(path, prefixes))],
            headers=[(name, str(value)) for name, value in environ.items() if name[:5] == "HTTP_"],
            body=environ["wsgi.input"].read(int(length)) if length.isdigit() else b"",
            cookies=cookies,
        )
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    return handle


def segments_below(path: str, prefixes: list[str]) -> list[str]:
    """The segments of *path* after the first of *prefixes* that it begins with."""
    for prefix in prefixes:
        if path == prefix or path.startswith(f"{prefix}/"):
            return path[len(prefix) + 1 :].split("/")
    return ["", path]


if __name__ == "__main__":
    made = application(Log(sys.argv[2]), sys.argv[3:])
    with make_server("127.0.0.1", int(sys.argv[1]), made, Server, Quiet) as server:
        server.serve_forever()
