"""The page's questions to a ledger of a million instances: planned by indexes, answered rightly."""

import re
import sqlite3
from pathlib import Path

import pytest

from ledger.reader import LedgerReader
from ledger.session import open_for_writing
from ledger.study_reader import StudyFilter
from web_status.node import queue_of
from web_status.now import gather
from web_status.retrieves import all_lists, list_page

SERIES, JOBS, ASSOCIATIONS = 20_000, 20_000, 10_000
INSTANCES = SERIES * 50
LARGE = (
    "studies|series|instances|associations|refusals|quarantine|decisions|jobs|steps|outputs|history"
    "|retrieve_items|retrieve_series"
)
# One is counted by its narrowest index: a fiftieth of the instances, or what should be rare.
COUNTED = {"studies", "series", "quarantine", "jobs", "retrieve_items"}
# What belongs to one study or job, or is asked for by its UIDs, may be sorted.
BOUNDED = (
    "studies USING INDEX sqlite_autoindex_studies_1 (StudyInstanceUID=?",
    "series USING INDEX sqlite_autoindex_series_1 (study_id=?)",
    "jobs USING INDEX jobs_by_series",
    "steps USING",
    "retrieve_items AS item USING INDEX retrieve_items_by_state (list_id=?)",
    "item USING INDEX retrieve_items_by_state (list_id=?)",
)
# A list is read in this order until its limit; a partial index holds no other rows.
PARTIAL = ("series_held", "steps_failed", "steps_low_quality", "decisions_put_off")
IN_ORDER = ("USING INDEX series_by_arrival", *(f"USING INDEX {name}" for name in PARTIAL))
AT = "strftime('%Y-%m-%dT%H:%M:%S.000+00:00', 1767225600 + n, 'unixepoch')"
NUMBERS = "WITH RECURSIVE numbers(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < {})"

FILL = {
    "studies": (
        SERIES // 4,
        (
            "(id, StudyInstanceUID, PatientID, PatientName, AccessionNumber, StudyDate,"
            " StudyDescription, first_seen_at)"
        ),
        f"n, '1.' || n, 'P' || n, '', 'A' || n, '20260101', '', {AT}",
    ),
    "series": (
        SERIES,
        (
            "(id, study_id, SeriesInstanceUID, Modality, SeriesDescription, calling_ae, called_ae,"
            " state, revision, outcome, instances, bytes, first_seen_at, last_arrival_at)"
        ),
        (
            "n, (n - 1) / 4 + 1, '1.' || n || '.1', 'CT', '', 'PACS', 'US',"
            " iif(n % 5000, 'closed', 'arriving'), 1,"
            " CASE WHEN n % 5000 = 0 THEN NULL WHEN n % 4000 = 1 THEN 'hold' ELSE 'process' END,"
            f" 50, 5000, {AT}, {AT}"
        ),
    ),
    "instances": (
        INSTANCES,
        (
            "(id, series_id, SOPInstanceUID, SOPClassUID, InstanceNumber, TransferSyntaxUID,"
            " association_id, bytes, sha256, received_at, revision)"
        ),
        (
            "n, (n - 1) / 50 + 1, '1.9.' || n, '1.2', n % 50, '1.2', 'a' || n % 10000, 100, 'ab',"
            f" {AT}, 1"
        ),
    ),
    "jobs": (
        JOBS,
        (
            "(id, key, series_id, revision, rule, steps, digest, state, not_before, queued_at,"
            " started_at, folder)"
        ),
        (
            "n, 'k' || n, n, 1, 'All', '[]', '', CASE n % 2000 WHEN 1 THEN 'queued' WHEN 2 THEN"
            f" 'running' WHEN 3 THEN 'dead' ELSE 'done' END, {AT}, {AT}, {AT}, 'f' || n"
        ),
    ),
    "steps": (
        JOBS,
        "(job_id, processor, state, summary, details)",
        "n, 'qc', iif(n % 2000 = 4, 'failed', 'done'), 'Normal', '{}'",
    ),
    "outputs": (
        JOBS,
        "(id, job_id, processor, path, kind, bytes, sha256)",
        "n, n, 'qc', 'preview.png', 'preview', 1, ''",
    ),
    "history": (SERIES * 3, "(series_id, at, what)", f"(n - 1) / 3 + 1, {AT}, 'closed'"),
    "decisions": (
        SERIES,
        "(series_id, revision, outcome, summary, reasons, decided_at)",
        f"n, 1, 'process', '', '[]', {AT}",
    ),
    "associations": (
        ASSOCIATIONS,
        "(association_id, calling_ae, called_ae, address, state, began_at, stored)",
        f"'a' || (n - 1), 'PACS', 'US', '', iif(n % 2000, 'released', 'open'), {AT}, 100",
    ),
    "refusals": (20_000, "(association_id, calling_ae, at, reason)", f"'a', 'PACS', {AT}, 'why'"),
    "retrieve_lists": (
        100,
        "(id, key, name, pacs, method, rules, priority, tries, asked_at)",
        f"n, 'k' || n, '', 'main', '', '[]', 0, 5, {AT}",
    ),
    "retrieve_items": (
        50_000,
        "(id, list_id, pacs, accession_number, state, not_before)",
        "n, (n - 1) / 500 + 1, 'main', 'A' || n, iif(n % 100, 'whole', 'waiting'), ''",
    ),
    "retrieve_series": (
        50_000,
        (
            "(item_id, StudyInstanceUID, SeriesInstanceUID, Modality, SeriesDescription, expected,"
            " received, missing, left_out, doubt)"
        ),
        "n, '1.' || n, '1.' || n || '.1', 'CT', '', 50, 50, '[]', '', ''",
    ),
    "quarantine": (20_000, "(name, reason, SeriesInstanceUID, at)", f"'q' || n, 'why', '1', {AT}"),
}


@pytest.fixture(scope="module")
def large(tmp_path_factory) -> Path:
    """A ledger of a million instances; its indexes are made after its rows."""
    path = tmp_path_factory.mktemp("large") / "ledger.sqlite"
    open_for_writing(path).close()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA synchronous = OFF")
    indexes = db.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
    ).fetchall()
    db.execute("BEGIN")
    for name, _ in indexes:
        db.execute(f"DROP INDEX {name}")
    for table, (count, columns, values) in FILL.items():
        db.execute(
            f"INSERT INTO {table} {columns} {NUMBERS.format(count)} SELECT {values} FROM numbers"
        )
    for _, statement in indexes:
        db.execute(statement)
    db.execute("COMMIT")
    db.close()
    return path


@pytest.fixture
def reader(large):
    reading = LedgerReader(large)
    yield reading
    reading.close()


QUESTIONS = {
    "the state line": lambda r: r.overview(),
    "what Prometheus asks": lambda r: r.tallies(),
    "the newest series": lambda r: r.series(limit=50),
    "a page further back": lambda r: r.series(limit=50, offset=500),
    "an instance": lambda r: r.instance("1.9.777777"),
    "a series": lambda r: r.one_series(12_345),
    "a study": lambda r: r.study_series(100),
    "studies": lambda r: r.studies.page(StudyFilter()),
    "studies far back": lambda r: r.studies.page(StudyFilter(), before=700),
    "newer studies": lambda r: r.studies.page(StudyFilter(), after=700),
    "arriving studies": lambda r: r.studies.page(StudyFilter(state="arriving")),
    "studies that wait": lambda r: r.studies.page(StudyFilter(state="waiting")),
    "studies at work": lambda r: r.studies.page(StudyFilter(state="processing")),
    "studies that are done": lambda r: r.studies.page(StudyFilter(state="done")),
    "studies left out": lambda r: r.studies.page(StudyFilter(state="dropped")),
    "studies for a person": lambda r: r.studies.page(StudyFilter(state="attention")),
    "low quality": lambda r: r.studies.page(StudyFilter(low_quality=True)),
    "a modality": lambda r: r.studies.page(StudyFilter(modality="PT", grade="quiet")),
    "studies by UID": lambda r: r.studies.page(StudyFilter(study_uids=("1.7", "1.700"))),
    "one study": lambda r: r.studies.one(100),
    "the revisions of a series": lambda r: r.revisions(7),
    "the instances of a series": lambda r: r.sop_instance_uids(7),
    "earlier runs of a job": lambda r: r.earlier_runs(7),
    "a decision": lambda r: r.decision(7),
    "a history": lambda r: r.history(7),
    "the jobs of a series": lambda r: r.jobs_of(7),
    "what runs": lambda r: r.jobs(["running"], limit=20),
    "what waits": lambda r: r.jobs(["queued"]),
    "what was given up": lambda r: r.jobs(["dead"], limit=20),
    "associations": lambda r: r.associations(),
    "refusals": lambda r: r.refusals(),
    "quarantine": lambda r: r.quarantine(),
    "senders": lambda r: r.senders.senders(),
    "a sender's last": lambda r: r.senders.last_brought_at("PACS"),
    "what was refused": lambda r: r.senders.refusals(),
    "the queue": queue_of,
    "an output": lambda r: r.output(7),
    "the first page": lambda r: gather(r, 1, {}, r.overview()),
    "what rules matched": lambda r: r.rules.matches(),
    "the rules in force": lambda r: r.rules.in_force(),
    "the retrieve lists": all_lists,
    "a retrieve list": lambda r: list_page(r, 7, {}),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_no_question_of_the_page_walks_through_a_large_table(reader, question):
    asked = []
    reader._connection.set_trace_callback(asked.append)
    QUESTIONS[question](reader)
    reader._connection.set_trace_callback(None)
    assert asked
    for statement in set(asked):
        plan = [
            row["detail"] for row in reader._connection.execute(f"EXPLAIN QUERY PLAN {statement}")
        ]
        assert [step for step in plan if _is_slow(step, plan, statement)] == [], statement


def _is_slow(step, plan, statement):
    """Whether a step reads all of a table, or sorts what an index does not bound."""
    if "TEMP B-TREE" in step:
        return not any(f"SEARCH {bounded}" in other for other in plan for bounded in BOUNDED)
    scan = re.match(rf"SCAN ({LARGE})\b(.*)", step)
    if scan is None or scan[2].strip().endswith(IN_ORDER):
        return False
    if "LIMIT" in statement and "WHERE" not in statement:  # in order, and it ends there
        return any("TEMP B-TREE" in other for other in plan)
    return scan[1] not in COUNTED or "COVERING INDEX" not in scan[2]


def test_the_state_line_counts_everything(reader):
    found = reader.overview()
    assert (found.studies, found.series, found.instances) == (SERIES // 4, SERIES, INSTANCES)
    assert (found.bytes, found.open_associations, found.arriving) == (SERIES * 5000, 5, 4)
    assert (found.queued, found.running, found.quarantined) == (10, 10, 20_000)
    assert found.attention == 5 + 10 + 10  # held, given up, failed


def test_lists_begin_with_what_a_person_looks_for(reader):
    newest = reader.series(limit=3)
    assert [row.id for row in newest] == [SERIES, SERIES - 1, SERIES - 2]
    assert newest[0].state == "arriving"
    assert [row.id for row in reader.series(limit=2, offset=500)] == [SERIES - 500, SERIES - 501]
    states = [row.state for row in reader.associations(limit=7)]
    assert states == ["open"] * 5 + ["released"] * 2
    assert [row.name for row in reader.quarantine(limit=2)] == ["q20000", "q19999"]
    assert [row.id for row in reader.jobs(["dead"], limit=2)] == [18_003, 16_003]
    assert reader.refusals(limit=1)[0].at == reader.quarantine(limit=1)[0].at


def test_single_things_are_found_among_a_million(reader):
    assert reader.instance("1.9.777777").SeriesInstanceUID == f"1.{777777 // 50 + 1}.1"
    assert [row.id for row in reader.study_series(100)] == [397, 398, 399, 400]
    assert reader.output(7).path == "f7/preview.png"
    assert reader.one_series(12_345).results == {"qc": "Normal"}
