"""How the node itself is: what the daemon tells the page beside what is in the ledger."""

from dataclasses import dataclass, field

from ledger.reader import LedgerReader
from ledger.rows import JobRow, PauseRow, RuleLoadRow, SeriesRow
from web_status.network import Echo
from web_status.taken import TakenIn

_SHOWN = 50


@dataclass(frozen=True)
class DiskFill:
    """How a disk fills.

    Attributes
    ----------
    stage, stages
        What is held up, and all there is of it, from ``ample`` on.
    hours_left
        How long it lasts at the rate of the last 24 hours; None while nothing grows.
    spool_bytes
        What the instances take.
    """

    stage: str
    stages: tuple[str, ...]
    hours_left: float | None
    spool_bytes: int


@dataclass(frozen=True)
class Condition:
    """What a person should know of the node at once.

    Attributes
    ----------
    forecast
        How long the disk will last, such as ``full in 4 days at today's rate``.
    held
        What is held up and why, a sentence each; the state line shows them.
    has_backup_failed
        Whether the last backup of the ledger that was due could not be made.
    is_audit_late
        Whether the syslog server has not taken the audit trail for too long.
    disk
        The disk in numbers, which pages do not show; None while it cannot be asked.
    """

    forecast: str = ""
    held: tuple[str, ...] = ()
    has_backup_failed: bool = False
    is_audit_late: bool = False
    disk: DiskFill | None = field(default=None, compare=False)


@dataclass(frozen=True)
class About:
    """What does not change while the daemon runs: versions, workers, the configuration as TOML.

    No secret is in it.
    """

    versions: tuple[tuple[str, str], ...] = ()
    configuration: str = ""
    workers: int = 0


@dataclass(frozen=True)
class Check:
    """What came of checking that nothing is lost; lines as ``safelight verify`` prints them."""

    at: str
    is_well: bool
    lines: tuple[str, ...]


@dataclass
class Upload:
    """Files that a person gave, and how far they are.

    Attributes
    ----------
    number
        From 1 since the daemon started.
    at, by
        When, and who it was; empty where nobody logs in.
    files, bytes
        What was given.
    judged
        Instances judged so far.
    taken
        What became of them; None until all are judged.
    problem
        Why they were not judged to the end.
    """

    number: int
    at: str
    by: str
    files: int
    bytes: int
    judged: int = 0
    taken: TakenIn | None = None
    problem: str = ""

    def report(self, judged: int) -> None:
        """Note how far it is."""
        self.judged = judged

    def end(self, taken: TakenIn | None, problem: str) -> None:
        """Note what came of it."""
        self.taken, self.problem = taken, problem

    @property
    def has_ended(self) -> bool:
        """Whether there is nothing more to come."""
        return self.taken is not None or bool(self.problem)


@dataclass
class Kept:
    """What the page itself remembers until the daemon ends.

    Attributes
    ----------
    echoes
        The last echo of each PACS, by its name.
    check
        The last check.
    is_checking
        Whether one is at work.
    uploads
        The latest first.
    """

    echoes: dict[str, Echo] = field(default_factory=dict)
    check: Check | None = None
    is_checking: bool = False
    uploads: list[Upload] = field(default_factory=list)

    def mark(self) -> tuple[object, ...]:
        """Something that is different whenever anything of it has changed."""
        far = tuple((one.at, one.judged, one.has_ended) for one in self.uploads)
        return tuple(self.echoes.values()), self.check, self.is_checking, far


@dataclass(frozen=True)
class ShownJob:
    """A job with its series."""

    job: JobRow
    series: SeriesRow


@dataclass(frozen=True)
class Queue:
    """What workers are at, what waits, what was given up and what is paused.

    `queued` and `dead` are the first fifty of `all_queued` and `all_dead`.
    """

    all_queued: int = 0
    all_dead: int = 0
    queued: tuple[ShownJob, ...] = ()
    dead: tuple[ShownJob, ...] = ()
    pauses: tuple[PauseRow, ...] = ()
    running: tuple[ShownJob, ...] = ()


@dataclass(frozen=True)
class RulesState:
    """The rules in force, and a later attempt to load others that failed."""

    in_force: RuleLoadRow | None = None
    failed: RuleLoadRow | None = None


def queue_of(reader: LedgerReader) -> Queue:
    """The queue, as the ledger has it."""
    return Queue(
        reader.count_jobs("queued"),
        reader.count_jobs("dead"),
        _shown(reader, reader.jobs(["queued"], limit=_SHOWN)),
        _shown(reader, reader.jobs(["dead"], limit=_SHOWN)),
        reader.pauses(),
        _shown(reader, reader.jobs(["running"], limit=_SHOWN)),
    )


def _shown(reader: LedgerReader, jobs: tuple[JobRow, ...]) -> tuple[ShownJob, ...]:
    return tuple(ShownJob(job, reader.one_series(job.series_id)) for job in jobs)
