"""Who a ``client_id`` stands for. The place where all ways of registration meet."""

from dataclasses import dataclass

from mintage.clients.registration import Client, ClientIds
from mintage.errors import InvalidClient


@dataclass(frozen=True, slots=True)
class Directory:
    client_ids: ClientIds

    async def find(self, client_id: str) -> Client:
        """The client of that id. Raises `InvalidClient`, which makes a client register again."""
        client = self.client_ids.read(client_id)
        if client is None:
            raise InvalidClient("this client_id is not known here; register again")
        return client


__all__ = ["Client", "Directory"]
