"""What the reader returns: one frozen record a row, as the page and the command line show it."""

from dataclasses import dataclass
from typing import Any, Literal

SeriesState = Literal["arriving", "waiting", "processing", "done", "kept", "dropped", "attention"]
"""
arriving    instances are coming or may come
waiting     closed; its jobs are queued or not decided yet
processing  a job is running
done        every job ended and every step gave a result
kept        no rule matched, or a person cancelled its job: it stays in the spool
dropped     a named rule left it out
attention   held, given up, or a step failed: a person must look
"""


@dataclass(frozen=True)
class Overview:
    """How the node is, in numbers.

    `refusals` are those of the last 24 hours; `attention` counts series held or given up;
    `undelivered` are notifications that were given up.
    """

    studies: int
    series: int
    instances: int
    bytes: int
    open_associations: int
    arriving: int
    queued: int
    running: int
    attention: int
    quarantined: int
    refusals: int
    undelivered: int


@dataclass(frozen=True)
class SeriesRow:
    """One series with its study, as a list shows it. Attributes that are elements keep the keyword.

    `results` maps each processor that ran to its one-line summary; `preview_id` is the output
    number of the picture, None while there is none.
    """

    id: int
    study_id: int
    PatientID: str
    PatientName: str
    AccessionNumber: str
    StudyDate: str
    StudyDescription: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    Modality: str
    SeriesNumber: int | None
    SeriesDescription: str
    calling_ae: str
    instances: int
    bytes: int
    revision: int
    grade: str | None
    evidence: str | None
    missing: int | None
    first_seen_at: str
    last_arrival_at: str
    closed_at: str | None
    workbook: str | None
    state: SeriesState
    results: dict[str, str]
    preview_id: int | None


@dataclass(frozen=True)
class StudyRow:
    """A study with its series, as a list shows it. Attributes that are elements keep the keyword.

    `complete_grade` and `complete_evidence` say how sure it is that all its series are here; None
    while `is_arriving`.
    """

    id: int
    StudyInstanceUID: str
    PatientID: str
    PatientName: str
    AccessionNumber: str
    StudyDate: str
    StudyDescription: str
    is_arriving: bool
    complete_grade: str | None
    complete_evidence: str | None
    series: tuple[SeriesRow, ...]


@dataclass(frozen=True)
class OutputRow:
    """One published file; `path` is relative to the results folder."""

    id: int
    job_id: int
    processor: str
    path: str
    kind: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class StepRow:
    """What one processor said."""

    processor: str
    state: str
    summary: str
    details: dict[str, Any]


@dataclass(frozen=True)
class JobRow:
    """One job with its steps and outputs."""

    id: int
    key: str
    series_id: int
    revision: int
    rule: str
    state: str
    priority: int
    tries: int
    queued_at: str
    not_before: str
    started_at: str | None
    ended_at: str | None
    seconds: float | None
    folder: str | None
    error: str | None
    steps: tuple[StepRow, ...]
    outputs: tuple[OutputRow, ...]


@dataclass(frozen=True)
class PauseRow:
    """A pause of a processor, or of everything where `processor` is empty.

    `cause` is "person" or "output"; what has no `until` lasts until a person resumes it.
    """

    processor: str
    cause: str
    reason: str
    at: str
    until: str | None


@dataclass(frozen=True)
class Growth:
    """Bytes of instances and of results that came in the last `hours`, less what was deleted."""

    received: int
    published: int
    hours: float


@dataclass(frozen=True)
class DeletionRow:
    """Files that were deleted because `rule` keeps them no longer.

    `what` is "instances" or "results"; `ended_at` is None until they are gone.
    """

    id: int
    series_id: int
    what: str
    count: int
    bytes: int
    rule: str
    at: str
    ended_at: str | None


@dataclass(frozen=True)
class AssociationRow:
    """One association, open, ended or rejected.

    While it is open, `stored` and `bytes` count what is in the ledger so far, and `latest_at` is
    when the last of it came.
    """

    association_id: str
    calling_ae: str
    called_ae: str
    address: str
    state: str
    began_at: str
    ended_at: str | None
    stored: int
    duplicates: int
    quarantined: int
    refused: int
    bytes: int
    reason: str
    latest_at: str | None


@dataclass(frozen=True)
class RefusalRow:
    """An instance or a presentation context that was refused, and why."""

    calling_ae: str
    at: str
    reason: str


@dataclass(frozen=True)
class QuarantineRow:
    """A file that was set aside; `name` is that of the file in the spool's quarantine."""

    name: str
    reason: str
    SeriesInstanceUID: str
    at: str


@dataclass(frozen=True)
class HistoryRow:
    """One thing that happened to a series."""

    at: str
    what: str


@dataclass(frozen=True)
class DecisionRow:
    """What the rules said of one revision; `reasons` as `rules.model.RuleReason`, in JSON."""

    revision: int
    outcome: str
    summary: str
    reasons: list[dict[str, Any]]
    decided_at: str


@dataclass(frozen=True)
class RevisionRow:
    """What the rules said of one revision, and how many instances it has."""

    revision: int
    summary: str
    decided_at: str
    instances: int


@dataclass(frozen=True)
class RunRow:
    """How long a job took, and for how many instances."""

    seconds: float
    instances: int


@dataclass(frozen=True)
class RuleLoadRow:
    """An attempt to load rules: when, how many are in force since, or why they were not taken."""

    at: str
    rules: int
    problem: str | None


@dataclass(frozen=True)
class KeptInstance:
    """An instance of the spool: where it lies, and the digest it had when it came."""

    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    SOPClassUID: str
    sha256: str
