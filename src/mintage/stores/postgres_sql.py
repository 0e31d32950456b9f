"""The statements of the PostgreSQL store, on tables of one schema."""
# ruff: noqa: S608  (the names in them are checked by `Place`; all values are arguments)

from typing import Final, Self

import msgspec

from mintage.stores.postgres_url import Place
from mintage.stores.protocol import HEAD_BYTES

ENROLLED: Final = 60
"""Seconds that a reader of the table of changes counts as one without saying so again."""


class Statements(msgspec.Struct, frozen=True):
    """Each is one step, decided by the row that it finds."""

    insert: str
    load: str
    replace: str
    delete: str
    list_all: str
    list_of_client: str
    list_of_subject: str
    sweep: str
    rows: str
    trim: str
    enrol: str
    stay: str
    changes_start: str
    changes_since: str
    status: str

    @classmethod
    def of(cls, place: Place) -> Self:
        record, change = f"{place.prefix}mintage_record", f"{place.prefix}mintage_change"
        reader = f"{place.prefix}mintage_reader"
        fresh = f"at > clock_timestamp() - make_interval(secs => {ENROLLED})"
        version = f"nextval('{place.prefix}mintage_version')"
        # The notice goes out with the commit, and only if there was something to change. The
        # row beside it is for those who can't listen, as a pooler gives them no connection to
        # keep. It costs a sixth of the write, so it is written only while there are such readers.
        told = f"""
            , noted AS (
                INSERT INTO {change} (key) SELECT key FROM changed
                WHERE EXISTS (SELECT FROM {reader} WHERE {fresh})
            )
            SELECT pg_notify('{place.channel}', encode(key, 'hex')) FROM changed
        """
        # One for each question: the plan that the database keeps for it must fit all values.
        listed = f"""
            SELECT key, summary, expires_at, substr(record, 1, {HEAD_BYTES}) FROM {record}
            WHERE {{}} AND expires_at > $1 AND key > $2
            ORDER BY key LIMIT $3
        """
        return cls(
            insert=f"""
                INSERT INTO {record} AS r
                    (key, version, record, expires_at, subject, client, summary)
                VALUES ($1, {version}, $2, $3, $4, $5, $6)
                ON CONFLICT (key) DO UPDATE SET
                    version = excluded.version, record = excluded.record,
                    expires_at = excluded.expires_at, subject = excluded.subject,
                    client = excluded.client, summary = excluded.summary
                WHERE r.expires_at <= $7
                RETURNING 1
            """,
            load=f"SELECT record, version FROM {record} WHERE key = $1 AND expires_at > $2",
            replace=f"""
                WITH changed AS (
                    UPDATE {record}
                    SET version = {version}, record = $3, expires_at = $4,
                        subject = CASE WHEN $9 THEN $6 ELSE subject END,
                        client = CASE WHEN $9 THEN $7 ELSE client END,
                        summary = CASE WHEN $9 THEN $8 ELSE summary END
                    WHERE key = $1 AND version = $2 AND expires_at > $5
                    RETURNING key
                ) {told}
            """,
            delete=f"""
                WITH changed AS (DELETE FROM {record} WHERE key = $1 RETURNING key) {told}
            """,
            list_all=listed.format("subject IS NOT NULL"),
            list_of_client=listed.format("subject IS NOT NULL AND client = $4"),
            # Not "=": a client has many grants and a user few, so the client's index is no help.
            list_of_subject=listed.format(
                "subject = $4 AND client IS NOT DISTINCT FROM coalesce($5, client)"
            ),
            # Rows that another process has locked are left for the next sweep.
            sweep=f"""
                WITH gone AS (
                    DELETE FROM {record} WHERE key IN (
                        SELECT key FROM {record} WHERE expires_at <= $1
                        LIMIT $2 FOR UPDATE SKIP LOCKED
                    ) RETURNING 1
                )
                SELECT count(*) FROM gone
            """,
            rows=f"""
                SELECT key, record, expires_at, subject, client, summary FROM {record}
                WHERE key > $1 ORDER BY key LIMIT $2
            """,
            trim=f"""
                WITH gone AS (
                    DELETE FROM {change} WHERE id IN (
                        SELECT id
                        FROM (SELECT id, at FROM {change} ORDER BY id LIMIT $1) AS oldest
                        WHERE at < clock_timestamp() - make_interval(secs => $2)
                    ) RETURNING 1
                )
                SELECT count(*) FROM gone
            """,
            enrol=f"""
                WITH gone AS (DELETE FROM {reader} WHERE NOT {fresh})
                INSERT INTO {reader} (id) VALUES ($1)
            """,
            stay=f"""
                UPDATE {reader} SET at = clock_timestamp() WHERE id = $1 AND {fresh} RETURNING 1
            """,
            changes_start=f"""
                SELECT coalesce(max(id), 0) FROM {change}
                WHERE at < clock_timestamp() - make_interval(secs => $1)
            """,
            changes_since=f"SELECT id, key FROM {change} WHERE id > $1 ORDER BY id LIMIT $2",
            status="SELECT extract(epoch FROM clock_timestamp()), pg_notification_queue_usage()",
        )
