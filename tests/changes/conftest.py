"""The real servers that stores are on."""

from tests.stores.conftest import postgres, postgres_url, redis, redis_url  # noqa: F401
