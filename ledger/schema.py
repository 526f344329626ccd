"""The ledger's tables, as ordered migrations. An applied migration is never edited.

A new one comes with a ledger that its version wrote: see `tests/ledger/dump_ledger.py`.

Timestamps are ISO 8601 in UTC. Columns that are DICOM elements keep the keyword.
"""

from collections.abc import Sequence

from sqlite_utils import Database, Migrations

migrations = Migrations("safelight")

_INITIAL: Sequence[str] = (
    """CREATE TABLE studies (
        id INTEGER PRIMARY KEY,
        StudyInstanceUID TEXT NOT NULL UNIQUE,
        PatientID TEXT NOT NULL,
        PatientName TEXT NOT NULL,
        AccessionNumber TEXT NOT NULL,
        StudyDate TEXT NOT NULL,
        StudyDescription TEXT NOT NULL,
        first_seen_at TEXT NOT NULL,
        workbook TEXT  -- path below results, once one was written
    )""",
    "CREATE INDEX studies_by_accession ON studies(AccessionNumber)",
    """CREATE TABLE series (
        id INTEGER PRIMARY KEY,
        study_id INTEGER NOT NULL REFERENCES studies(id),
        SeriesInstanceUID TEXT NOT NULL,
        Modality TEXT NOT NULL,
        SeriesNumber INTEGER,
        SeriesDescription TEXT NOT NULL,
        calling_ae TEXT NOT NULL,
        called_ae TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('arriving', 'closed')),
        revision INTEGER NOT NULL DEFAULT 0,  -- how often it was closed
        grade TEXT,
        evidence TEXT,
        outcome TEXT CHECK (outcome IN ('process', 'drop', 'hold', 'keep')),
        instances INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        first_seen_at TEXT NOT NULL,
        last_arrival_at TEXT NOT NULL,
        closed_at TEXT,
        UNIQUE (study_id, SeriesInstanceUID)
    )""",
    "CREATE INDEX series_by_state ON series(state)",
    "CREATE INDEX series_by_arrival ON series(last_arrival_at)",
    """CREATE TABLE instances (
        id INTEGER PRIMARY KEY,
        series_id INTEGER NOT NULL REFERENCES series(id),
        SOPInstanceUID TEXT NOT NULL,
        SOPClassUID TEXT NOT NULL,
        InstanceNumber INTEGER,
        TransferSyntaxUID TEXT NOT NULL,
        association_id TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL,
        received_at TEXT NOT NULL,
        revision INTEGER,  -- the first one it is in; none while its series is arriving
        UNIQUE (series_id, SOPInstanceUID)
    )""",
    """CREATE TABLE associations (
        association_id TEXT PRIMARY KEY,
        calling_ae TEXT NOT NULL,
        called_ae TEXT NOT NULL,
        address TEXT NOT NULL,
        state TEXT NOT NULL CHECK (
            state IN ('open', 'released', 'aborted', 'lost', 'rejected')),
        began_at TEXT NOT NULL,
        ended_at TEXT,
        stored INTEGER NOT NULL DEFAULT 0,
        duplicates INTEGER NOT NULL DEFAULT 0,
        quarantined INTEGER NOT NULL DEFAULT 0,
        refused INTEGER NOT NULL DEFAULT 0,
        bytes INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT ''
    )""",
    "CREATE INDEX associations_by_time ON associations(began_at)",
    "CREATE INDEX associations_by_state ON associations(state)",
    """CREATE TABLE refusals (
        id INTEGER PRIMARY KEY,
        association_id TEXT NOT NULL,
        calling_ae TEXT NOT NULL,
        at TEXT NOT NULL,
        reason TEXT NOT NULL
    )""",
    """CREATE TABLE quarantine (
        name TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        SeriesInstanceUID TEXT NOT NULL,
        at TEXT NOT NULL
    )""",
    """CREATE TABLE decisions (
        id INTEGER PRIMARY KEY,
        series_id INTEGER NOT NULL REFERENCES series(id),
        revision INTEGER NOT NULL,
        outcome TEXT NOT NULL,
        summary TEXT NOT NULL,
        reasons TEXT NOT NULL,  -- JSON: what every rule said
        decided_at TEXT NOT NULL,
        UNIQUE (series_id, revision)
    )""",
    """CREATE TABLE jobs (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        series_id INTEGER NOT NULL REFERENCES series(id),
        revision INTEGER NOT NULL,
        rule TEXT NOT NULL,
        steps TEXT NOT NULL,  -- JSON: the processors with their options
        digest TEXT NOT NULL,  -- of the instance set
        state TEXT NOT NULL CHECK (
            state IN ('queued', 'running', 'done', 'dead', 'superseded')),
        tries INTEGER NOT NULL DEFAULT 0,
        not_before TEXT NOT NULL,
        queued_at TEXT NOT NULL,
        started_at TEXT,
        ended_at TEXT,
        seconds REAL,
        folder TEXT,  -- below results, once published
        error TEXT
    )""",
    "CREATE INDEX jobs_by_state ON jobs(state, not_before)",
    "CREATE INDEX jobs_by_series ON jobs(series_id, revision)",
    """CREATE TABLE steps (
        id INTEGER PRIMARY KEY,
        job_id INTEGER NOT NULL REFERENCES jobs(id),
        processor TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('done', 'refused', 'failed')),
        summary TEXT NOT NULL,
        details TEXT NOT NULL,  -- JSON
        UNIQUE (job_id, processor)
    )""",
    """CREATE TABLE outputs (
        id INTEGER PRIMARY KEY,
        job_id INTEGER NOT NULL REFERENCES jobs(id),
        processor TEXT NOT NULL,
        path TEXT NOT NULL,  -- below the job's folder
        kind TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        sha256 TEXT NOT NULL
    )""",
    "CREATE INDEX outputs_by_job ON outputs(job_id)",
    """CREATE TABLE history (
        id INTEGER PRIMARY KEY,
        series_id INTEGER NOT NULL REFERENCES series(id),
        at TEXT NOT NULL,
        what TEXT NOT NULL
    )""",
    "CREATE INDEX history_by_series ON history(series_id)",
    "CREATE TABLE journal_offsets (file TEXT PRIMARY KEY, offset INTEGER NOT NULL)",
)


@migrations()
def m001_initial(db: Database) -> None:
    """Studies, series, instances, associations, decisions, jobs, outputs."""
    for statement in _INITIAL:
        db.execute(statement)


@migrations()
def m002_receivers(db: Database) -> None:
    """Several receiver processes; an instance is found by its UID alone."""
    db.execute("ALTER TABLE associations ADD COLUMN receiver TEXT NOT NULL DEFAULT ''")
    db.execute("CREATE INDEX instances_by_uid ON instances(SOPInstanceUID)")


@migrations()
def m003_jobs_and_retention(db: Database) -> None:
    """Leases, priorities, pauses; the stages of a filling disk; what rules deleted."""
    _allow_cancelled_jobs(db)
    db.execute("ALTER TABLE jobs ADD COLUMN priority INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE jobs ADD COLUMN lease_until TEXT")
    db.execute(
        """CREATE TABLE pauses (
            processor TEXT NOT NULL,  -- empty for everything
            cause TEXT NOT NULL CHECK (cause IN ('person', 'output')),
            reason TEXT NOT NULL,
            at TEXT NOT NULL,
            until TEXT,  -- none until a person resumes it
            strikes INTEGER NOT NULL DEFAULT 0,  -- how often it was extended
            PRIMARY KEY (processor, cause)
        )"""
    )
    db.execute("CREATE INDEX jobs_by_end ON jobs(ended_at)")
    db.execute(
        """CREATE TABLE disk_stages (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            stage TEXT NOT NULL,
            free_bytes INTEGER NOT NULL
        )"""
    )
    db.execute(
        """CREATE TABLE deletions (
            id INTEGER PRIMARY KEY,
            series_id INTEGER NOT NULL REFERENCES series(id),
            what TEXT NOT NULL CHECK (what IN ('instances', 'results')),
            count INTEGER NOT NULL,  -- of files
            bytes INTEGER NOT NULL,
            rule TEXT NOT NULL,  -- that says how long it is kept
            at TEXT NOT NULL,
            ended_at TEXT  -- none until the files are gone
        )"""
    )
    db.execute("CREATE INDEX deletions_by_series ON deletions(series_id)")
    db.execute("CREATE INDEX deletions_by_time ON deletions(at)")
    db.execute("CREATE INDEX deletions_unfinished ON deletions(id) WHERE ended_at IS NULL")
    db.execute("ALTER TABLE instances ADD COLUMN deletion_id INTEGER REFERENCES deletions(id)")
    db.execute("ALTER TABLE jobs ADD COLUMN deletion_id INTEGER REFERENCES deletions(id)")
    db.execute("CREATE INDEX jobs_deleted ON jobs(deletion_id) WHERE deletion_id IS NOT NULL")
    db.execute("ALTER TABLE series ADD COLUMN deleted INTEGER NOT NULL DEFAULT 0")


@migrations()
def m004_indexes(db: Database) -> None:
    """What the page asks for again and again is found, and in its order, by an index."""
    db.execute("CREATE INDEX series_by_size ON series(instances, bytes)")
    db.execute("CREATE INDEX series_held ON series(id) WHERE outcome = 'hold'")
    db.execute("CREATE INDEX steps_failed ON steps(job_id) WHERE state = 'failed'")
    db.execute("CREATE INDEX jobs_by_start ON jobs(state, coalesce(started_at, queued_at))")
    db.execute("CREATE INDEX refusals_by_time ON refusals(at)")
    db.execute("CREATE INDEX quarantine_by_time ON quarantine(at DESC, name)")
    db.execute(
        "CREATE INDEX associations_open_first ON associations(state = 'open' DESC, began_at DESC)"
    )


@migrations()
def m005_rules(db: Database) -> None:
    """Destinations and windows; decisions that wait for something; which rules were loaded."""
    db.execute("ALTER TABLE jobs ADD COLUMN destination TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE jobs ADD COLUMN window TEXT NOT NULL DEFAULT ''")
    db.execute("ALTER TABLE decisions ADD COLUMN put_off INTEGER NOT NULL DEFAULT 0")
    db.execute("CREATE INDEX decisions_put_off ON decisions(series_id) WHERE put_off")
    db.execute("CREATE INDEX series_by_closing ON series(closed_at)")
    db.execute("CREATE INDEX series_by_uid ON series(SeriesInstanceUID)")
    db.execute(
        """CREATE TABLE rule_loads (
            id INTEGER PRIMARY KEY,
            at TEXT NOT NULL,
            rules INTEGER NOT NULL,  -- how many are in force since
            texts TEXT NOT NULL,  -- JSON: the files' names and what they held
            problem TEXT  -- why they were not taken; none when they were
        )"""
    )


@migrations()
def m006_completeness(db: Database) -> None:
    """What a PACS said of a series, what its headers say, and when a study is whole."""
    db.execute("ALTER TABLE series ADD COLUMN expected INTEGER")
    db.execute("ALTER TABLE series ADD COLUMN missing INTEGER")
    db.execute("ALTER TABLE series ADD COLUMN header_findings INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE studies ADD COLUMN is_arriving INTEGER NOT NULL DEFAULT 0")
    db.execute("ALTER TABLE studies ADD COLUMN complete_grade TEXT")
    db.execute("ALTER TABLE studies ADD COLUMN complete_evidence TEXT")
    db.execute("CREATE INDEX studies_arriving ON studies(is_arriving) WHERE is_arriving")


@migrations()
def m007_retrieves(db: Database) -> None:
    """Lists of accession numbers to retrieve, and what came of each."""
    for statement in _RETRIEVES:
        db.execute(statement)


_RETRIEVES: Sequence[str] = (
    """CREATE TABLE retrieve_lists (
        id INTEGER PRIMARY KEY,
        key TEXT NOT NULL UNIQUE,
        name TEXT NOT NULL,
        pacs TEXT NOT NULL,  -- the name of its [[pacs]]
        method TEXT NOT NULL,  -- empty for what the PACS's table says
        rules TEXT NOT NULL,  -- JSON: name and text of the files that leave series out
        priority INTEGER NOT NULL,
        tries INTEGER NOT NULL,  -- at most, for each item
        asked_at TEXT NOT NULL
    )""",
    """CREATE TABLE retrieve_items (
        id INTEGER PRIMARY KEY,
        list_id INTEGER NOT NULL REFERENCES retrieve_lists(id),
        pacs TEXT NOT NULL,
        accession_number TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'whole', 'unproven',
            'incomplete', 'absent', 'failed', 'cancelled')),
        tries INTEGER NOT NULL DEFAULT 0,
        not_before TEXT NOT NULL,
        started_at TEXT,
        ended_at TEXT,
        studies INTEGER NOT NULL DEFAULT 0,
        reason TEXT NOT NULL DEFAULT '',  -- what went wrong last, with the remedy
        UNIQUE (list_id, accession_number)
    )""",
    "CREATE INDEX retrieve_items_by_turn ON retrieve_items(pacs, state, not_before)",
    """CREATE TABLE retrieve_series (
        id INTEGER PRIMARY KEY,
        item_id INTEGER NOT NULL REFERENCES retrieve_items(id),
        StudyInstanceUID TEXT NOT NULL,
        SeriesInstanceUID TEXT NOT NULL,
        SeriesNumber INTEGER,
        Modality TEXT NOT NULL,
        SeriesDescription TEXT NOT NULL,
        expected INTEGER,  -- none where the PACS neither lists nor counts
        received INTEGER NOT NULL,
        missing TEXT NOT NULL,  -- JSON: SOP Instance UIDs
        left_out TEXT NOT NULL,  -- the rule and its reason
        doubt TEXT NOT NULL,  -- why what is expected proves nothing
        UNIQUE (item_id, StudyInstanceUID, SeriesInstanceUID)
    )""",
    """CREATE TABLE retrieve_pauses (
        pacs TEXT PRIMARY KEY,
        reason TEXT NOT NULL,
        at TEXT NOT NULL,
        until TEXT NOT NULL,
        strikes INTEGER NOT NULL
    )""",
)


@migrations()
def m008_retrieve_states(db: Database) -> None:
    """How many accession numbers of a list are in each state, for the page."""
    db.execute("CREATE INDEX retrieve_items_by_state ON retrieve_items(list_id, state)")


@migrations()
def m009_senders(db: Database) -> None:
    """What each sender did lately, and the sums that are watched over time."""
    db.execute("CREATE INDEX associations_by_sender ON associations(calling_ae, began_at)")
    db.execute(
        "CREATE INDEX associations_that_brought ON associations(calling_ae, began_at)"
        " WHERE stored + duplicates > 0"
    )
    db.execute("CREATE INDEX series_by_grade ON series(grade)")
    db.execute("CREATE INDEX jobs_by_seconds ON jobs(state, seconds)")


@migrations()
def m010_studies(db: Database) -> None:
    """The list of studies; how far open associations are; how long jobs of a rule took."""
    db.execute("ALTER TABLE associations ADD COLUMN latest_at TEXT")
    db.execute("CREATE INDEX series_of_study ON series(study_id, Modality, grade, state, outcome)")
    db.execute(
        "CREATE INDEX steps_low_quality ON steps(job_id)"
        " WHERE processor = 'qc' AND json_extract(details, '$.low_quality')"
    )
    db.execute("CREATE INDEX jobs_done_by_rule ON jobs(rule, ended_at) WHERE state = 'done'")


@migrations()
def m011_list_rules(db: Database) -> None:
    """The rule that a retrieve list brings along, found by the accession number of a study."""
    db.execute("ALTER TABLE retrieve_lists ADD COLUMN rule TEXT NOT NULL DEFAULT ''")
    db.execute(
        "CREATE INDEX retrieve_items_by_accession ON retrieve_items(accession_number, list_id)"
    )


@migrations()
def m012_notifications(db: Database) -> None:
    """Whom rules and alarms tell, and what was told; which configurations were in force."""
    db.execute("ALTER TABLE jobs ADD COLUMN notify TEXT NOT NULL DEFAULT ''")
    for statement in _NOTIFICATIONS:
        db.execute(statement)


_NOTIFICATIONS: Sequence[str] = (
    """CREATE TABLE notifications (
        id INTEGER PRIMARY KEY,
        target TEXT NOT NULL,  -- the name of its [[notify]]
        event TEXT NOT NULL,
        is_alarm INTEGER NOT NULL DEFAULT 0,
        facts TEXT NOT NULL,  -- JSON: what it says, without patient data
        study_id INTEGER REFERENCES studies(id),  -- which is to be done before it goes out
        state TEXT NOT NULL CHECK (state IN ('held', 'waiting', 'sent', 'summed', 'dead')),
        tries INTEGER NOT NULL DEFAULT 0,
        at TEXT NOT NULL,
        not_before TEXT NOT NULL,
        ended_at TEXT,
        error TEXT  -- why it was not delivered
    )""",
    """CREATE INDEX notifications_by_target
        ON notifications(target, state, is_alarm, ended_at)""",
    """CREATE UNIQUE INDEX notifications_held
        ON notifications(study_id, target) WHERE state = 'held'""",
    "CREATE INDEX notifications_dead ON notifications(id) WHERE state = 'dead'",
    """CREATE TABLE told_alarms (
        target TEXT NOT NULL,
        alarm TEXT NOT NULL,  -- what tells one from another
        facts TEXT NOT NULL,  -- JSON: as it was told last
        began_at TEXT NOT NULL,
        told_at TEXT NOT NULL,
        PRIMARY KEY (target, alarm)
    )""",
    """CREATE TABLE configurations (
        id INTEGER PRIMARY KEY,
        at TEXT NOT NULL,
        settings TEXT NOT NULL,  -- JSON: key to value as words, secrets as salted hashes
        changes TEXT NOT NULL  -- JSON: what differs from the one before, as words
    )""",
)


@migrations()
def m013_queue(db: Database) -> None:
    """The queue is read in its order, however long it is."""
    order = "priority DESC, not_before, id"
    db.execute(f"CREATE INDEX jobs_queued ON jobs({order}) WHERE state = 'queued'")
    db.execute(
        "CREATE INDEX jobs_queued_by_first ON jobs"
        f"(json_extract(steps, '$[0][0]'), {order}) WHERE state = 'queued'"
    )
    db.execute(
        "CREATE INDEX jobs_in_windows ON jobs(window)"
        " WHERE window != '' AND state IN ('queued', 'running')"
    )


@migrations()
def m014_deleted_and_sent_again(db: Database) -> None:
    """What rules deleted stays accounted for when it is sent again."""
    db.execute(
        """CREATE TABLE sent_again (
            deletion_id INTEGER NOT NULL REFERENCES deletions(id),
            SOPInstanceUID TEXT NOT NULL,
            association_id TEXT NOT NULL,  -- the one that had brought what was deleted
            PRIMARY KEY (deletion_id, SOPInstanceUID)
        )"""
    )


_JOB_STATES = "'queued', 'running', 'done', 'dead', 'superseded'"


def _allow_cancelled_jobs(db: Database) -> None:
    """Change the CHECK of a column, which ALTER TABLE cannot.

    This is the procedure of https://sqlite.org/lang_altertable.html#otheralter for changes that
    affect no content; rebuilding the table would break the tables that refer to it.
    """
    version = db.execute("PRAGMA schema_version").fetchone()[0]
    db.execute("PRAGMA writable_schema = ON")
    db.execute(
        "UPDATE sqlite_master SET sql = replace(sql, ?, ?) WHERE type = 'table' AND name = 'jobs'",
        [_JOB_STATES, f"{_JOB_STATES}, 'cancelled'"],
    )
    db.execute(f"PRAGMA schema_version = {version + 1}")
    db.execute("PRAGMA writable_schema = OFF")
