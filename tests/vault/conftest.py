"""The engines of the stores' tests, for the vault's."""

from tests.stores.conftest import (  # noqa: F401
    cluster,
    cluster_url,
    postgres,
    postgres_url,
    redis,
    redis_url,
)
