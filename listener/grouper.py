"""Decides when a series, and a study, is closed. Pure state: it reads no file and no clock.

Times are seconds of a monotonic clock, passed in.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from listener.journal import ENDINGS, AssociationEvent, EventName
from listener.retrievals import ListedSeries, Retrieval
from listener.series import Closure, Grade, StudyClosure
from listener.settings import GroupingSettings
from listener.spool import SeriesKey


class Expectations(Protocol):
    """What is expected of studies, and what is here of them."""

    def of(self, study_uid: str) -> Retrieval | None:
        """The latest retrieval of a study."""

    def series_here(self, study_uid: str) -> frozenset[str]:
        """The series of a study that have an instance here."""

    def instances_here(self, retrieval: Retrieval) -> int:
        """How many instances of a retrieval's series are here."""


@dataclass
class _Open:
    """A series, or a study, for which instances still come."""

    last_arrival: float
    associations: set[str] = field(default_factory=set)


@dataclass
class OpenSeries(_Open):
    """A series that is arriving: whose quiet time it has, and what is known of it already."""

    modality: str = ""
    calling_ae: str = ""
    instances: set[str] = field(default_factory=set)


class Grouper:
    """The series and studies that are still arriving, and the associations that send them."""

    def __init__(self, settings: GroupingSettings, expectations: Expectations) -> None:
        self._settings = settings
        self._expectations = expectations
        self._series: dict[SeriesKey, OpenSeries] = {}
        self._studies: dict[str, _Open] = {}
        self._open_associations: dict[str, str] = {}  # and which receiver has them
        # The series an open association sent to, the latest last.
        self._sent_to: dict[str, dict[SeriesKey, None]] = {}
        self._endings: dict[str, EventName] = {}

    def is_open(self, key: SeriesKey) -> bool:
        """Whether the series is still arriving."""
        return key in self._series

    def holds(self, key: SeriesKey, sop_instance_uid: str) -> bool:
        """Whether the series is still arriving, and the instance is in it."""
        return key in self._series and sop_instance_uid in self._series[key].instances

    def open(self, key: SeriesKey, series: OpenSeries) -> None:
        """Open a series: its first instance came, or one after it was closed, or we began anew."""
        self._series[key] = series
        series.associations |= {one for one, keys in self._sent_to.items() if key in keys}
        self.open_study(key.StudyInstanceUID, series.last_arrival, series.associations)

    def open_study(self, study_uid: str, now: float, associations: Collection[str]) -> None:
        """Open a study, where it is not open already."""
        study = self._studies.setdefault(study_uid, _Open(now))
        study.last_arrival = now
        study.associations.update(associations)

    def arrived(
        self, key: SeriesKey, sop_instance_uid: str, association_id: str, now: float
    ) -> None:
        """Note an instance of an open series."""
        series, study = self._series[key], self._studies[key.StudyInstanceUID]
        series.instances.add(sop_instance_uid)
        series.last_arrival = study.last_arrival = now
        if association_id:
            series.associations.add(association_id)
            study.associations.add(association_id)
            sent_to = self._sent_to.setdefault(association_id, {})
            sent_to.pop(key, None)
            sent_to[key] = None

    def note(self, event: AssociationEvent) -> None:
        """Note what happened to an association."""
        if event.event == "started":
            for association_id, receiver in tuple(self._open_associations.items()):
                if receiver == event.receiver:
                    self._end(association_id, "lost")
        elif event.event == "accepted":
            self._open_associations[event.association_id] = event.receiver
        elif event.event in ENDINGS:
            self._end(event.association_id, event.event)

    def _end(self, association_id: str, how: EventName) -> None:
        self._open_associations.pop(association_id, None)
        self._sent_to.pop(association_id, None)
        self._endings[association_id] = how

    def due(self, now: float) -> Iterator[Closure]:
        """The series that are whole, or quiet long enough; `close` ends them."""
        for key, series in self._series.items():
            retrieval = self._expectations.of(key.StudyInstanceUID)
            closure = self._closure(key, series, now - series.last_arrival, retrieval)
            if closure is not None:
                yield closure

    def due_studies(self, now: float) -> Iterator[StudyClosure]:
        """The studies that are whole, or quiet long enough; `close_study` ends them."""
        arriving = {key.StudyInstanceUID for key in self._series}
        for study_uid, study in self._studies.items():
            if study_uid in arriving:
                continue
            retrieval = self._expectations.of(study_uid)
            closure = self._study_closure(study_uid, study, now - study.last_arrival, retrieval)
            if closure is not None:
                yield closure

    def close(self, key: SeriesKey) -> None:
        """Forget a series; an instance that comes later opens it anew."""
        del self._series[key]

    def close_study(self, study_uid: str) -> None:
        """Forget a study; an instance that comes later opens it anew."""
        del self._studies[study_uid]
        self._forget_endings()

    def _closure(
        self, key: SeriesKey, series: OpenSeries, quiet: float, retrieval: Retrieval | None
    ) -> Closure | None:
        listed = _listed(key, retrieval)
        proof = _proof(series.instances, listed, retrieval)
        if proof is not None and not self._is_sending(series, key):
            return _judged(key, proof, series.instances, listed)
        blocked = self._blocked(series, retrieval)
        if quiet < self._quiet_seconds(series, blocked):
            return None
        if proof is None:
            proof = self._evidence(series, quiet, blocked, retrieval)
        return _judged(key, proof, series.instances, listed)

    def _study_closure(
        self, study_uid: str, study: _Open, quiet: float, retrieval: Retrieval | None
    ) -> StudyClosure | None:
        blocked = self._blocked(study, retrieval)
        limit = self._settings.study_quiet_seconds
        is_quiet = quiet >= (self._settings.open_association_seconds if blocked else limit)
        told, is_whole = self._series_told(study_uid, retrieval)
        if is_whole and not blocked:
            return StudyClosure(study_uid, "listed", told)
        if not is_quiet:
            return None
        grade, cause = self._quiet_evidence(study, quiet, blocked)
        return StudyClosure(study_uid, grade, f"{cause}; {told}" if told else cause)

    def _series_told(self, study_uid: str, retrieval: Retrieval | None) -> tuple[str, bool]:
        """How many of the series that a PACS listed are here, and whether all are."""
        if retrieval is None or not retrieval.series:
            return "", False
        wanted = retrieval.series.keys()
        here = wanted & self._expectations.series_here(study_uid)
        return f"{len(here)} of {len(wanted)} series listed by {retrieval.pacs}", here == wanted

    def _is_sending(self, series: OpenSeries, key: SeriesKey) -> bool:
        """Whether an open association sent to this series last, and may be sending to it now."""
        open_ones = series.associations & self._open_associations.keys()
        return any(key == next(reversed(self._sent_to.get(one, {})), None) for one in open_ones)

    def _quiet_seconds(self, series: OpenSeries, blocked: str) -> float:
        if blocked:
            return self._settings.open_association_seconds
        return self._settings.quiet_seconds_for(series.modality, series.calling_ae)

    def _blocked(self, what: _Open, retrieval: Retrieval | None) -> str:
        """Why more must be expected; empty where nothing says so."""
        if what.associations & self._open_associations.keys():
            return "its association is still open"
        if retrieval is not None and not retrieval.ended:
            return f"{retrieval.pacs} has not said that it has sent all"
        return ""

    def _evidence(
        self, series: OpenSeries, quiet: float, blocked: str, retrieval: Retrieval | None
    ) -> tuple[Grade, str]:
        """Evidence from how the series came, where what is expected proves nothing."""
        if retrieval is not None and retrieval.sent is not None and not blocked:
            here = self._expectations.instances_here(retrieval)
            told = f"{here} of {retrieval.sent} instances that {retrieval.pacs} sent are here"
            if here == retrieval.sent:
                return "moved", told
            grade, cause = self._quiet_evidence(series, quiet, blocked)
            return grade, f"{cause}; {told}"
        return self._quiet_evidence(series, quiet, blocked)

    def _quiet_evidence(self, what: _Open, quiet: float, blocked: str) -> tuple[Grade, str]:
        if blocked:
            return "forced", f"quiet for {quiet:.0f} s; {blocked}"
        endings = {self._endings.get(name, "lost") for name in what.associations}
        if endings == {"released"}:
            several = len(what.associations) > 1
            cause = "all associations released" if several else "association released"
            return "released", f"{cause}, then quiet for {quiet:.0f} s"
        how = " and ".join(sorted(endings)) or "unknown"
        return "quiet", f"association {how}, then quiet for {quiet:.0f} s"

    def _forget_endings(self) -> None:
        """Keep only what a study that is still open can ask for."""
        wanted = {name for study in self._studies.values() for name in study.associations}
        if len(self._endings) > 2 * len(wanted) + 1000:
            self._endings = {n: e for n, e in self._endings.items() if n in wanted}


def _listed(key: SeriesKey, retrieval: Retrieval | None) -> ListedSeries | None:
    return None if retrieval is None else retrieval.series.get(key.SeriesInstanceUID)


def _pacs(retrieval: Retrieval | None) -> str:
    return "" if retrieval is None else retrieval.pacs


def _proof(
    here: set[str], listed: ListedSeries | None, retrieval: Retrieval | None
) -> tuple[Grade, str] | None:
    """The proof that all of a series is here, from what a PACS said of it; None without one."""
    if listed is None:
        return None
    uids, count, pacs = listed.sop_instance_uids, listed.count, _pacs(retrieval)
    if uids:
        more = f", and {len(here - uids)} more" if here - uids else ""
        whole = f"{len(uids)} of {len(uids)} listed by {pacs}{more}"
        return ("listed", whole) if uids <= here else None
    return ("counted", f"{count} of {count} counted by {pacs}") if len(here) == count else None


def _judged(
    key: SeriesKey, proof: tuple[Grade, str], here: set[str], listed: ListedSeries | None
) -> Closure:
    """A closure that also says what is missing of what was expected."""
    grade, evidence = proof
    if listed is None or listed.expected is None:
        return Closure(key, grade, evidence)
    uids, expected = listed.sop_instance_uids, listed.expected
    missing = len(uids - here) if uids else max(expected - len(here), 0)
    if grade not in ("listed", "counted"):
        how = "listed" if uids else "counted"
        evidence = f"{evidence}; {len(here)} here, {expected} {how}, {missing} missing"
    return Closure(key, grade, evidence, expected, missing)
