"""Flask, for gunicorn: ``LAB_LOG=… LAB_PREFIXES=… gunicorn tests.seams.backends.flask_app:app``."""

import os

from flask import Flask, request

from tests.seams.backends.reports import Log

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]

app = Flask(__name__)
log = Log(os.environ["LAB_LOG"])


def handler(place: str) -> None:
    def handle(rest: str = "") -> str:
        log.write(
            method=request.method,
            target=request.full_path,
            places=[place],
            headers=list(request.headers.items()),
            body=request.get_data(),
            cookies=dict(request.cookies),
        )
        return "ok"

    for prefix in os.environ["LAB_PREFIXES"].split():
        at = prefix if place == "root" else f"{prefix}/{'files/keys' if place == 'keys' else place}"
        for rule in (at, f"{at}/", f"{at}/<path:rest>"):
            app.add_url_rule(rule, rule, handle, methods=METHODS)


for name in ("root", "admin", "secret", "mcp", "files", "keys"):
    handler(name)
