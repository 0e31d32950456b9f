"""Something like GitHub Enterprise on this machine, which answers as GitHub's documentation shows.

::

    python -m tools.ways.fake_github DIRECTORY

It listens at https://127.0.0.1, writes its certificate to DIRECTORY/ca.pem, and answers
http://127.0.0.1:9001/ready when it is ready. Everybody is the user of the recorded answers.
"""

import json
import secrets
import ssl
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import parse_qs, urlencode, urlsplit

from tools.ways.text import ROOT

_RECORDED: Final[dict[str, Any]] = json.loads(
    (ROOT / "tests/upstream/recorded/github.json").read_text(encoding="utf-8")
)
_API: Final = "https://api.github.com"
_CODES: Final[set[str]] = set()


class GitHub(BaseHTTPRequestHandler):
    """The web site, and its API below ``/api/v3`` as Enterprise has it."""

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Send a browser back with a code, or answer a question about the user."""
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/login/oauth/authorize":
            _CODES.add(code := secrets.token_hex(10))
            answer = urlencode({"code": code, "state": query["state"]})
            self.send_response(302)
            self.send_header("location", f"{query['redirect_uri']}?{answer}")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        known = _RECORDED["answers"].get(_API + url.path.removeprefix("/api/v3"))
        bearer = f"Bearer {_RECORDED['token']['access_token']}"
        if self.headers.get("authorization") != bearer:
            self._json(401, {"message": "Bad credentials"})
        elif known is None:
            self._json(404, {"message": "Not Found"})
        else:
            self._json(200, known)

    def do_POST(self) -> None:
        """Redeem a code, once, for the secret of the tutorial."""
        length = int(self.headers.get("content-length", "0"))
        form = {name: each[0] for name, each in parse_qs(self.rfile.read(length).decode()).items()}
        wrong = form.get("client_secret") != "the-secret-that-github-showed-you"
        if wrong:
            self._json(200, {"error": "incorrect_client_credentials"})
        elif form.get("code") not in _CODES:
            self._json(200, {"error": "bad_verification_code"})
        else:
            _CODES.discard(form["code"])
            token = {k: v for k, v in _RECORDED["token"].items() if v is not None}
            self._json(200, token)

    def _json(self, status: int, body: object) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


class Ready(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """Answer that the other server listens."""
        self.send_response(204)
        self.end_headers()


def certificate(directory: Path) -> tuple[Path, Path]:
    """A certificate that vouches for itself, and its key."""
    found, key = directory / "ca.pem", directory / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
         "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1",
         "-keyout", str(key), "-out", str(found)],
        check=True,
        capture_output=True,
    )  # fmt: skip
    return found, key


def main() -> None:
    """Serve until the process ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate(Path(sys.argv[1])))
    server = ThreadingHTTPServer(("127.0.0.1", 443), GitHub)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    ready = ThreadingHTTPServer(("127.0.0.1", 9001), Ready)
    threading.Thread(target=ready.serve_forever, daemon=True).start()
    server.serve_forever()


if __name__ == "__main__":
    main()
