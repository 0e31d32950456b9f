"""The engines of the stores' tests, for a whole server on each of them."""

from tests.stores.conftest import (  # noqa: F401
    cluster,
    cluster_url,
    postgres,
    postgres_url,
    redis,
    redis_url,
)
