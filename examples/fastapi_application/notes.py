"""A FastAPI application whose users log in at your provider."""

from collections import defaultdict
from typing import Annotated

from fastapi import Depends, FastAPI

from mintage.integrations.fastapi import Login, User, require

login = Login.from_file("mintage.toml")
app = FastAPI(
    title="Notes",
    swagger_ui_init_oauth={"clientId": "docs", "usePkceWithAuthorizationCodeGrant": True},
)
app.add_middleware(login.middleware)

Reader = Annotated[User, Depends(require(login=login))]
Writer = Annotated[User, Depends(require("write", login=login))]
notes: dict[str, list[str]] = defaultdict(list)


@app.get("/api/notes")
async def read(user: Reader) -> list[str]:
    """The notes of the user."""
    return notes[user.subject]


@app.post("/api/notes")
async def write(text: str, user: Writer) -> int:
    """Keep a note. Returns how many there are."""
    notes[user.subject].append(text)
    return len(notes[user.subject])
