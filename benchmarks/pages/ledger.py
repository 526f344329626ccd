"""A ledger of very many studies, filled by SQLite itself: what a site has after some years."""

import sqlite3
from collections.abc import Mapping
from pathlib import Path

from ledger.session import open_for_writing

SERIES_PER_STUDY = 4
_NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < ?)"


def _at(seconds: int) -> str:
    """The time of row n: one every so many seconds since 2021."""
    return f"strftime('%Y-%m-%dT%H:%M:%S.000+00:00', 1609459200 + n * {seconds}, 'unixepoch')"


# One series in 10,000 is held, given up, failed or arriving; one in 10 is of low quality.
_TABLES: Mapping[str, Mapping[str, str]] = {
    "studies": {
        "id": "n",
        "StudyInstanceUID": "'1.2.' || n",
        "PatientID": "printf('P%06d', n % 40000)",
        "PatientName": "'FAMILY' || n % 40000 || '^GIVEN'",
        "AccessionNumber": "printf('%08d', n)",
        "StudyDate": "strftime('%Y%m%d', 1609459200 + n * 1440, 'unixepoch')",
        "StudyDescription": "'Study ' || n % 50",
        "first_seen_at": _at(1440),
        "complete_grade": "'released'",
        "complete_evidence": "'all series are closed'",
    },
    "series": {
        "id": "n",
        "study_id": f"(n - 1) / {SERIES_PER_STUDY} + 1",
        "SeriesInstanceUID": "'1.2.' || n || '.1'",
        "Modality": "CASE n % 10000 WHEN 7 THEN 'PT' ELSE iif(n % 3, 'CT', 'MR') END",
        "SeriesNumber": "n % 4",
        "SeriesDescription": "'series'",
        "calling_ae": "'PACS1'",
        "called_ae": "'SAFELIGHT'",
        "state": "iif(n % 10000 = 1, 'arriving', 'closed')",
        "revision": "1",
        "grade": "iif(n % 10000 = 2, 'forced', 'released')",
        "evidence": "'released'",
        "outcome": "CASE n % 10000 WHEN 1 THEN NULL WHEN 3 THEN 'hold' ELSE 'process' END",
        "instances": "200",
        "bytes": "105000000",
        "first_seen_at": _at(360),
        "last_arrival_at": _at(360),
    },
    "jobs": {
        "id": "n",
        "key": "'k' || n",
        "series_id": "n",
        "revision": "1",
        "rule": "'Everything'",
        "steps": "'[]'",
        "digest": "''",
        "state": "iif(n % 10000 = 4, 'dead', 'done')",
        "not_before": _at(360),
        "queued_at": _at(360),
        "started_at": _at(360),
        "ended_at": _at(360),
        "seconds": "9.5",
        "folder": "'f' || n",
    },
    "steps": {
        "job_id": "n",
        "processor": "'qc'",
        "state": "iif(n % 10000 = 5, 'failed', 'done')",
        "summary": "iif(n % 10, 'Normal', 'Low contrast')",
        "details": """iif(n % 10, '{"low_quality": 0}', '{"low_quality": 1}')""",
    },
    "outputs": {
        "job_id": "n",
        "processor": "'preview'",
        "path": "'preview.png'",
        "kind": "'preview'",
        "bytes": "90000",
        "sha256": "''",
    },
    "decisions": {
        "series_id": "n",
        "revision": "1",
        "outcome": "'process'",
        "summary": "'Everything -> qc'",
        "reasons": "'[]'",
        "decided_at": _at(360),
    },
    "history": {"series_id": "n", "at": _at(360), "what": "'closed'"},
}
"""Table to what its columns have in row n."""


def fill(path: Path, studies: int) -> None:
    """Make the ledger."""
    rows = {table: studies * (SERIES_PER_STUDY if table != "studies" else 1) for table in _TABLES}
    fill_tables(path, _TABLES, rows)


def fill_tables(
    path: Path, tables: Mapping[str, Mapping[str, str]], rows: Mapping[str, int]
) -> None:
    """Make a ledger; its indexes are made after its rows.

    Parameters
    ----------
    tables
        Table to what its columns have in row n.
    rows
        How many rows each of them has.
    """
    open_for_writing(path).close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    indexes = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    db.execute("BEGIN")
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    for table, columns in tables.items():
        names, values = ", ".join(columns), ", ".join(columns.values())
        insert = f"INSERT INTO {table} ({names}) {_NUMBERS} SELECT {values} FROM numbers"  # noqa: S608
        db.execute(insert, [rows[table]])
    for _, statement in indexes:
        db.execute(statement)
    db.execute("COMMIT")
    db.close()
