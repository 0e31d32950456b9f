"""A Flask site that knows nothing of logins: the proxy in front tells it who the user is."""

import os

from flask import Flask, request
from markupsafe import escape

app = Flask(__name__)


@app.get("/")
def home() -> str:
    """The first page."""
    user = escape(request.headers.get("X-Forwarded-Email", "nobody"))
    return f"<h1>Welcome, {user}</h1><p><a href='/mintage/sign-out'>Sign out</a></p>"


if __name__ == "__main__":
    app.run(host="127.0.0.1", port=int(os.environ["SITE_PORT"]))
