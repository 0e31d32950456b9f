"""The tables in PostgreSQL: their definition, who creates them, and the rights that a role needs.

**The rule for a new format:** a step only adds (a table, an index, a column that may be null or
has a default). A Mintage works with tables that are one step newer than it knows, so during a
rolling upgrade replicas of both versions may stop and start at any time. What a step leaves
unused is removed by a step of a later version.
"""

import logging
from typing import Final, TypeAlias

import asyncpg

from mintage.errors import StoreUnusable
from mintage.stores.missing import NO_TABLES
from mintage.stores.postgres_url import Place

log = logging.getLogger("mintage.store")

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_LOCK: Final = 0x4D696E7461676531  # one process at a time makes or upgrades the tables
_NEWER: Final = 1  # so many steps more than it knows a Mintage can work with

MIGRATIONS: Final = (
    """
    CREATE SEQUENCE mintage_version AS bigint;
    CREATE TABLE mintage_record (
        key bytea PRIMARY KEY,
        version bigint NOT NULL,
        record bytea NOT NULL,
        expires_at bigint NOT NULL,
        subject bytea,
        client bytea,
        summary bytea
    );
    CREATE INDEX mintage_record_by_expiry ON mintage_record (expires_at);
    CREATE INDEX mintage_record_by_subject ON mintage_record (subject, key)
        WHERE subject IS NOT NULL;
    CREATE INDEX mintage_record_by_client ON mintage_record (client, key)
        WHERE client IS NOT NULL;
    """,
    """
    CREATE TABLE mintage_change (
        id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
        key bytea NOT NULL,
        at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    """,
    """
    CREATE TABLE mintage_reader (
        id bytea PRIMARY KEY,
        at timestamptz NOT NULL DEFAULT clock_timestamp()
    );
    """,
)
"""Number n brings the tables from version n to n + 1; an old one never changes."""

_MAY: Final = "SELECT has_table_privilege($1::text, $2::text)"
_RIGHTS: Final = (
    ("mintage_schema", "SELECT"),
    ("mintage_record", "SELECT, INSERT, UPDATE, DELETE"),
    ("mintage_change", "SELECT, INSERT, DELETE"),
    ("mintage_reader", "SELECT, INSERT, UPDATE, DELETE"),
)


def as_sql(place: Place) -> str:
    """What an administrator must run once, with the rights for the role of the servers.

    It creates the tables, and upgrades those of an older format.
    """
    lines = [f"-- The tables of Mintage, format {len(MIGRATIONS)}.", "BEGIN;"]
    lines += [f"SELECT pg_advisory_xact_lock({_LOCK});"]
    if place.schema:
        lines += [
            f"CREATE SCHEMA IF NOT EXISTS {place.schema};",
            f"SET LOCAL search_path TO {place.schema};",
        ]
    lines += [
        "CREATE TABLE IF NOT EXISTS mintage_schema (version int NOT NULL);",
        "INSERT INTO mintage_schema SELECT 0 WHERE NOT EXISTS (SELECT FROM mintage_schema);",
        "DO $mintage$ BEGIN",
    ]
    for version, script in enumerate(MIGRATIONS):
        lines += [
            f"IF (SELECT version FROM mintage_schema) = {version} THEN",  # noqa: S608
            script.strip("\n").rstrip(),
            f"    UPDATE mintage_schema SET version = {version + 1};",  # noqa: S608
            "END IF;",
        ]
    lines += ["END $mintage$;", "COMMIT;"]
    lines += ["", "-- Then, if the servers use another role than this one:"]
    if place.schema:
        lines.append(f"-- GRANT USAGE ON SCHEMA {place.schema} TO the_role;")
    lines += [f"-- GRANT {what} ON {place.prefix}{table} TO the_role;" for table, what in _RIGHTS]
    lines.append(f"-- GRANT USAGE, SELECT ON SEQUENCE {place.prefix}mintage_version TO the_role;")
    return "\n".join(lines)


async def prepare(db: Connection, place: Place, *, existing: bool) -> None:
    """Make or upgrade the tables where that is needed, and only then ask for the right to.

    Raises `StoreUnusable` where they are too new, or missing and this role may not make them, or
    missing where they are to be *existing*.
    """
    version = await _version(db, place)
    if version is None and existing:
        raise StoreUnusable(NO_TABLES)
    if version is None or version < len(MIGRATIONS):
        try:
            await _migrate(db, place)
        except asyncpg.InsufficientPrivilegeError as error:
            state = "are not there" if version is None else f"are of the older format {version}"
            raise StoreUnusable(
                f"Mintage's tables {state} and this role may not make them ({error}): run "
                "`mintage store init` with the URL of a role that may, or give the output of "
                "`mintage store init --print-sql` to your administrator"
            ) from None
    else:
        _check_version(version)
    await _check_rights(db, place)


async def _version(db: Connection, place: Place) -> int | None:
    """The format of the tables; None if there are none."""
    async with db.transaction(isolation="read_committed"):
        there = "SELECT to_regclass($1::text) IS NOT NULL"
        if not await db.fetchval(there, f"{place.prefix}mintage_schema"):
            return None
        query = f"SELECT version FROM {place.prefix}mintage_schema"  # noqa: S608  (checked name)
        version: int | None = await db.fetchval(query)
        return version


def _check_version(version: int) -> None:
    known = len(MIGRATIONS)
    if version > known + _NEWER:
        raise StoreUnusable(
            f"these tables were written by a newer Mintage (format {version}; this one "
            f"works with up to {known + _NEWER}): upgrade Mintage, or name another database"
        )
    if version > known:
        log.warning(
            "the tables have format %d, this Mintage knows %d: it can work with them; "
            "finish the upgrade",
            version,
            known,
        )


async def _migrate(db: Connection, place: Place) -> None:
    """All missing steps in one transaction. Of several processes one does them."""
    async with db.transaction(isolation="read_committed"):
        await db.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)
        if place.schema:
            there = "SELECT to_regnamespace($1::text) IS NOT NULL"
            if not await db.fetchval(there, place.schema):
                await db.execute(f'CREATE SCHEMA "{place.schema}"')
            await db.execute(f'SET LOCAL search_path TO "{place.schema}"')
        await db.execute("CREATE TABLE IF NOT EXISTS mintage_schema (version int NOT NULL)")
        version = await db.fetchval("SELECT version FROM mintage_schema")
        _check_version(version or 0)  # a newer one may have been here just now
        for script in MIGRATIONS[version or 0 :]:
            await db.execute(script)
        if version is None:
            await db.execute("INSERT INTO mintage_schema VALUES ($1)", len(MIGRATIONS))
        elif version < len(MIGRATIONS):
            await db.execute("UPDATE mintage_schema SET version = $1", len(MIGRATIONS))


async def _check_rights(db: Connection, place: Place) -> None:
    """Raises `StoreUnusable`, naming the table and the right that this role lacks."""
    async with db.transaction(isolation="read_committed"):
        for table, rights in _RIGHTS:
            for right in rights.split(", "):
                name = f"{place.prefix}{table}"
                if not await db.fetchval(
                    "SELECT has_table_privilege($1::text, $2::text)", name, right
                ):
                    raise StoreUnusable(
                        f"this role may not {right} in {name} of PostgreSQL: grant it"
                    )
        sequence = f"{place.prefix}mintage_version"
        if not await db.fetchval("SELECT has_sequence_privilege($1::text, 'USAGE')", sequence):
            raise StoreUnusable(f"this role may not use the sequence {sequence}: grant USAGE")
