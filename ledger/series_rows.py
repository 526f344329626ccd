"""The rows of series: the statement that every list of them begins with, and what it returns."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any

from ledger.rows import SeriesRow

# A series waits while a rule is put off, even where no job is queued. It needs a person when it is
# held, a job was given up or a step failed. A job that is queued or running outranks what earlier
# jobs did.
STATE = """CASE
    WHEN series.state = 'arriving' THEN 'arriving'
    WHEN EXISTS (SELECT 1 FROM jobs WHERE series_id = series.id
                 AND jobs.revision = series.revision AND state = 'running') THEN 'processing'
    WHEN outcome IS NULL OR EXISTS (SELECT 1 FROM jobs WHERE series_id = series.id
                 AND jobs.revision = series.revision AND state = 'queued')
         OR EXISTS (SELECT 1 FROM decisions WHERE series_id = series.id AND put_off
                 AND decisions.revision = series.revision) THEN 'waiting'
    WHEN outcome = 'hold' OR EXISTS (SELECT 1 FROM jobs LEFT JOIN steps ON job_id = jobs.id
                 WHERE series_id = series.id AND jobs.revision = series.revision
                 AND (jobs.state = 'dead'
                      OR steps.state = 'failed' AND jobs.state != 'superseded')) THEN 'attention'
    WHEN outcome = 'drop' THEN 'dropped'
    WHEN outcome = 'keep' OR EXISTS (SELECT 1 FROM jobs WHERE series_id = series.id
                 AND jobs.revision = series.revision AND state = 'cancelled') THEN 'kept'
    ELSE 'done'
END"""

SERIES = f"""
SELECT series.id, study_id, PatientID, PatientName, AccessionNumber, StudyDate,
    StudyDescription, StudyInstanceUID, SeriesInstanceUID, Modality, SeriesNumber,
    SeriesDescription, calling_ae, instances, bytes, series.revision, grade, evidence, missing,
    series.first_seen_at, last_arrival_at, closed_at, workbook,
    {STATE} AS state,
    (SELECT json_group_object(processor, summary) FROM jobs JOIN steps ON job_id = jobs.id
     WHERE series_id = series.id AND jobs.revision = series.revision
     AND jobs.state != 'superseded') AS results,
    (SELECT max(outputs.id) FROM jobs JOIN outputs ON job_id = jobs.id
     WHERE series_id = series.id AND kind = 'preview' AND deletion_id IS NULL) AS preview_id
FROM series JOIN studies ON studies.id = study_id
"""


def series_rows(
    connection: sqlite3.Connection, query: str, values: Sequence[object]
) -> tuple[SeriesRow, ...]:
    """What a query finds that begins with `SERIES`."""
    rows = connection.execute(query, list(values))
    return tuple(SeriesRow(**decoded(row, "results")) for row in rows)


def decoded(row: sqlite3.Row, column: str) -> dict[str, Any]:
    """A row whose `column` holds JSON."""
    return {**dict(row), column: json.loads(row[column])}
