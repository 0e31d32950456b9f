"""Questions at ``/verify`` as nginx sends them, byte by byte: HTTP clients would mend the path."""

from dataclasses import dataclass

from tests.support.raw_backend import raw_answer
from tests.support.world import World


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: str


def parsed(raw: bytes) -> Answer:
    head, _, body = raw.decode("latin-1").partition("\r\n\r\n")
    status, *lines = head.split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return Answer(int(status.split(" ")[1]), headers, body)


async def ask_as_nginx(
    world: World, token: str | None, target: str, *, method: str = "POST", **headers: str
) -> Answer:
    """The answer to nginx's question about a request with *token*."""
    described = {"x-original-method": method, "x-original-uri": target}
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | described
    if token is not None:
        sent["authorization"] = f"Bearer {token}"
    lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
    head = f"GET /verify HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n"
    return parsed(await raw_answer(world, head.encode("latin-1")))
