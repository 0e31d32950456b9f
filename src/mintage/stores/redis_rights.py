"""Tries at the start what Mintage needs of a Redis. The first refusal names the command.

INFO, CONFIG GET, TIME and the channel are for warnings, speed and `mintage store copy`. Mintage
works without them.
"""

import logging
import secrets
import time
from typing import Final

from mintage.stores.redis_link import Link
from mintage.stores.redis_scripts import DELETE, INSERT, MAY_PUBLISH, NEW, REPLACE

log = logging.getLogger("mintage.store")

_SECONDS: Final = 60  # that what is tried out stays if its removal fails


async def check_rights(link: Link, prefix: bytes, channel: bytes) -> None:
    """Raises `StoreUnusable` for a command or key that is forbidden."""
    name = prefix + b"start:" + secrets.token_bytes(8)
    names = name + b":names"
    ends = int(time.time()) + _SECONDS
    for command in (
        ("HSET", name, "v", 0),
        ("EXPIREAT", name, ends),
        ("HGET", name, "v"),
        ("HMGET", name, "v", "e"),
        ("HDEL", name, "v"),
        ("DEL", name),
        ("ZADD", names, 0, b"member"),
        ("ZSCORE", names, b"member"),
        ("ZRANGE", names, b"-", b"+", "BYLEX", "LIMIT", 0, 1),
        ("ZREM", names, b"member"),
    ):
        await link.ask(*command)
    await link.run(INSERT, name, 0, 1, b"", b"", ends, 0, b"", b"")
    await link.run(REPLACE, name, 0, 1, 2, b"", b"", ends, 0, b"", b"", NEW, channel, name)
    await link.run(DELETE, name, channel, name)
    if not await link.run(MAY_PUBLISH, name, channel, name):
        log.warning(
            "Redis's ACL does not let this user publish on the channel %s: other processes "
            "see that a grant ended only when it leaves their memory (grants.cache_seconds)",
            channel.decode(),
        )
