"""A web site as many are: Flask, with pages, forms and a script. It has no login of its own.

``gunicorn tests.support.flask_site:app``
"""

from typing import Any, Final

from flask import Flask, Response, jsonify, make_response, request

app: Final = Flask(__name__)
_NOTES: Final[list[str]] = []
_PAGE: Final = """<!doctype html><html lang="en"><head><title>Notes</title>
<link rel="icon" href="data:,"></head><body>
<h1>Notes of {user}</h1><p id="query">{query}</p><p id="cookies">{cookies}</p>
<form method="post" action="/notes"><input name="note" value="buy milk"><button>Add</button></form>
<a href="/mintage/sign-out">Sign out</a><p id="data"></p><script>
async function load() {{
  const answer = await fetch("/data");
  document.getElementById("data").textContent = answer.status + " " + answer.redirected;
}}
</script></body></html>"""


@app.get("/page/<name>")
def page(name: str) -> Response:
    shown = _PAGE.format(
        user=request.headers.get("X-Forwarded-User", "nobody"),
        query=f"{name} {request.args.get('q', '')}",
        cookies=",".join(sorted(request.cookies)),
    )
    response: Response = make_response(shown)
    response.set_cookie("theme", "dark", samesite="Lax")
    return response


@app.post("/notes")
def add() -> str:
    _NOTES.append(request.form["note"])
    return f"<title>Added</title>{request.headers.get('X-Forwarded-User')} has {len(_NOTES)}"


@app.get("/data")
def data() -> Any:
    return jsonify(notes=_NOTES)
