"""Counts what the coordinator sees and does, for Prometheus.

The counters begin at zero when the coordinator starts, which Prometheus expects and corrects for.
No label has a value that a sender could choose: AE titles and rules are those of the configuration,
and ``other``.
"""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics

from listener.journal import ENDINGS, AssociationEvent
from listener.series import GRADES, Arrival
from listener.statuses import REJECTIONS
from listener.watcher import Findings
from safelight.config import Config

OTHER = "other"
OUTCOMES = ("done", "step_failed", "tried_again", "given_up", "cancelled", "output_unavailable")
_BUCKETS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800)  # seconds
_CAUSES = tuple(rejection.cause for rejection in REJECTIONS)


class Counts:
    """The counters; they may be read from any thread.

    Parameters
    ----------
    config
        Names those who may appear by their AE titles.
    """

    def __init__(self, config: Config) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]
        accepted = [rule.calling_ae for rule in config.dicom.accept if rule.calling_ae != "*"]
        self._titles = frozenset((*accepted, *(pacs.ae_title for pacs in config.pacs)))
        self.registry = CollectorRegistry()
        self._make_reception()
        self._make_processing()

    def _make_reception(self) -> None:
        senders = (*sorted(self._titles), OTHER)
        self._instances = self._counter(
            "received_instances", "Instances recorded in the ledger.", "calling_ae", senders
        )
        self._bytes = self._counter("received_bytes", "Bytes of them.", "calling_ae", senders)
        self._duplicates = self._counter(
            "received_duplicates", "Instances that were here already, as associations ended."
        )
        self._associations = self._counter(
            "associations",
            "Associations by how they ended, and those that were rejected.",
            *("outcome", (*sorted(ENDINGS), "rejected")),
        )
        self._rejections = self._counter(
            "rejections", "Rejected associations by cause.", "cause", (*_CAUSES, OTHER)
        )
        self._refusals = self._counter(
            "refusals", "Instances and presentation contexts that were refused."
        )
        self._set_aside = self._counter("quarantined_files", "Files that came into quarantine.")

    def _make_processing(self) -> None:
        self._closed = self._counter(
            "series_closed", "Series that were closed, by grade.", "grade", GRADES
        )
        self._jobs = self._counter("job_runs", "Runs of jobs by outcome.", "outcome", OUTCOMES)
        self._seconds = Histogram(
            "safelight_job_seconds",
            "How long the jobs took that ended well.",
            ("rule",),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def _counter(
        self, name: str, words: str, label: str = "", values: Iterable[str] = ()
    ) -> Counter:
        """A counter; all its values are there from the start, so that none begins unseen."""
        labels = (label,) if label else ()
        counter = Counter(f"safelight_{name}", words, labels, registry=self.registry)
        for value in values:
            counter.labels(value)
        return counter

    def recorded(self, findings: Findings, lost: int) -> None:
        """Count what was recorded; `lost` associations ended with their receiver."""
        for arrival in findings.arrivals:
            self._arrived(arrival)
        for event in findings.events:
            self._happened(event)
        self._associations.labels("lost").inc(lost)

    def _arrived(self, arrival: Arrival) -> None:
        title = arrival.header.origin.calling_ae
        sender = title if title in self._titles else OTHER
        self._instances.labels(sender).inc()
        self._bytes.labels(sender).inc(arrival.bytes)

    def _happened(self, event: AssociationEvent) -> None:
        if event.event == "refused":
            self._refusals.inc()
        elif event.event == "rejected":
            self._associations.labels("rejected").inc()
            self._rejections.labels(event.cause if event.cause in _CAUSES else OTHER).inc()
        elif event.event in ENDINGS:
            self._associations.labels(event.event).inc()
            self._duplicates.inc(event.duplicates)

    def set_aside(self, files: int) -> None:
        """Count files that are new in quarantine."""
        self._set_aside.inc(files)

    def closed(self, grade: str) -> None:
        """Count a series that was closed."""
        self._closed.labels(grade).inc()

    def ran(self, outcome: str) -> None:
        """Count a run of a job, by one of `OUTCOMES`."""
        self._jobs.labels(outcome).inc()

    def took(self, rule: str, seconds: float, rules: Iterable[str]) -> None:
        """Count how long a job took; a rule that is not among the `rules` in force is another."""
        self._seconds.labels(rule if rule in rules else OTHER).observe(seconds)
