"""Has a PACS send one instance, as ``safelight doctor --move`` asks for.

By C-MOVE it comes through the running daemon, as any other, and is kept; that it came is told by
the spool and its journal. By C-GET or DICOMweb it comes here, and is not kept.
"""

import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from listener.journal import AssociationEvent, JournalReader
from query.get import Instance, classes_of, get
from query.identifiers import Selection
from query.matches import SeriesMatch
from query.move import Destination, move
from query.outcomes import RetrieveOutcome
from query.settings import PacsSettings
from query.statuses import SUCCESS
from query.web import fetch
from safelight.doctor_findings import Finding, ok, problem, warning
from safelight.doctor_network import studies_of
from safelight.doctor_site import Site
from safelight.expecting import source_of

_DAYS = (1, 30, 3650)  # how far back, until something is found
_LOOKED_INTO = 5  # studies, and then series, at most
_UNKNOWN = 1 << 30  # as many instances as nobody counted
_MOVE_SECONDS = 60.0
_POLL_SECONDS = 0.05
_ITS_LOG = "its log says why; safelight retrieve asks it for a whole study"


@dataclass(frozen=True)
class _Chosen:
    """The instance that is asked for, and what it is."""

    selection: Selection
    SOPClassUID: str
    Modality: str


def moved(site: Site, pacs: PacsSettings) -> Finding:
    """Whether a PACS sends one instance to us.

    Raises
    ------
    QueryError
        It did not; the leaf that names the cause, see `query.errors`.
    """
    if pacs.retrieve == "move" and site.daemon is None:
        return warning(
            f"{pacs.name}: C-MOVE was not tried, because no daemon runs to receive",
            "start it (systemctl start safelight), and run this again",
        )
    chosen = _chosen(site, pacs)
    if chosen is None:
        return warning(
            f"{pacs.name}: nothing was moved: it lists no instance of the last ten years",
            "see what it has with safelight find",
        )
    hurried = replace(pacs, move_seconds=min(pacs.move_seconds, _MOVE_SECONDS))
    if pacs.retrieve == "move":
        return _through_the_daemon(site, hurried, chosen.selection)
    outcome = _into_nothing(site, hurried, chosen)
    outcome.require_performed()
    if outcome.is_partial or not outcome.sent:
        return problem(f"{pacs.name}: {outcome}", _ITS_LOG)
    how = "C-GET" if pacs.retrieve == "get" else "WADO-RS"
    return ok(f"{pacs.name}: sent one instance by {how}; it was not kept")


def _chosen(site: Site, pacs: PacsSettings) -> _Chosen | None:
    """An instance of the smallest series found; what is here already goes before what is not."""
    source, calling_ae = source_of(pacs.retrieve), site.config.dicom.ae_title
    found = sorted(_series(pacs, calling_ae), key=lambda one: _size(one[1]))
    found.sort(key=lambda one: not _kept(site, one[0], one[1].SeriesInstanceUID).exists())
    for study_uid, series in found[:_LOOKED_INTO]:
        uid = series.SeriesInstanceUID
        listed = source.find_instances(pacs, study_uid, uid, calling_ae=calling_ae)
        choices = [Selection(study_uid, uid, one.SOPInstanceUID) for one in listed]
        choices.sort(key=lambda one: not _file(site, one).exists())
        if choices:
            classes = {one.SOPInstanceUID: one.SOPClassUID for one in listed}
            return _Chosen(choices[0], classes[choices[0].SOPInstanceUID], series.Modality)
    return None


def _series(pacs: PacsSettings, calling_ae: str) -> list[tuple[str, SeriesMatch]]:
    """The series of the smallest of the latest studies, each with the UID of its study."""
    for days in _DAYS:
        studies = studies_of(pacs, calling_ae, days=days).studies
        if studies:
            break
    smallest = sorted(studies, key=lambda one: one.NumberOfStudyRelatedInstances or _UNKNOWN)
    uids = [one.StudyInstanceUID for one in smallest[:_LOOKED_INTO]]
    find = source_of(pacs.retrieve).find_series
    return [(uid, one) for uid in uids for one in find(pacs, uid, calling_ae=calling_ae)]


def _size(series: SeriesMatch) -> int:
    return series.NumberOfSeriesRelatedInstances or _UNKNOWN


def _kept(site: Site, *names: str) -> Path:
    return site.config.storage.spool.joinpath("instances", *names)


def _file(site: Site, one: Selection) -> Path:
    name = f"{one.SOPInstanceUID}.dcm"
    return _kept(site, one.StudyInstanceUID, one.SeriesInstanceUID, name)


def _into_nothing(site: Site, pacs: PacsSettings, chosen: _Chosen) -> RetrieveOutcome:
    """Take an instance by C-GET or WADO-RS, and let go of it."""

    def keep(_instance: Instance) -> tuple[int, str]:
        return SUCCESS, ""

    if pacs.retrieve == "dicomweb":
        (outcome,) = fetch(pacs, [chosen.selection], keep)
        return outcome
    classes = [chosen.SOPClassUID] if chosen.SOPClassUID else classes_of([chosen.Modality])
    calling_ae = site.config.dicom.ae_title
    (outcome,) = get(pacs, [chosen.selection], classes, keep, calling_ae=calling_ae)
    return outcome


def _through_the_daemon(site: Site, pacs: PacsSettings, selection: Selection) -> Finding:
    """Have an instance sent to the daemon, and see whether it arrives."""
    dicom, journal = site.config.dicom, site.config.storage.spool / "journal"
    is_new = not _file(site, selection).exists()
    news = JournalReader(journal, {path.name: path.stat().st_size for path in journal.iterdir()})
    here = Destination(dicom.ae_title, socket.gethostname(), dicom.port)
    (outcome,) = move(pacs, [selection], here, calling_ae=dicom.ae_title)
    events: list[AssociationEvent] = []
    deadline = time.monotonic() + (0 if outcome.is_partial else pacs.arrival_seconds)
    while True:
        events += [event for event in news.read() if event.calling_ae == pacs.ae_title]
        if _file(site, selection).exists() if is_new else _has_come(outcome, events):
            kept = "which is new here, and kept" if is_new else "which was here already"
            return ok(f"{pacs.name}: C-MOVE brought one instance to the daemon, {kept}")
        if time.monotonic() >= deadline:
            return _not_arrived(site, pacs, outcome, events)
        time.sleep(_POLL_SECONDS)


def _has_come(outcome: RetrieveOutcome, events: Sequence[AssociationEvent]) -> bool:
    """Whether the PACS came to us and says that it sent what is here already."""
    return not outcome.is_partial and any(event.event == "accepted" for event in events)


def _not_arrived(
    site: Site, pacs: PacsSettings, outcome: RetrieveOutcome, events: Sequence[AssociationEvent]
) -> Finding:
    refused = [event.reason for event in events if event.event in ("rejected", "refused")]
    if refused:
        return problem(
            f"{pacs.name}: the daemon refused what C-MOVE sent: {refused[-1]}",
            "let it in by [[dicom.accept]], or correct what it calls; the log says more",
        )
    outcome.require_performed()
    if outcome.is_partial:
        return problem(f"{pacs.name}: C-MOVE: {outcome}", _ITS_LOG)
    here = f"{site.config.dicom.ae_title} at {socket.gethostname()}, port {site.config.dicom.port}"
    return problem(
        f"{pacs.name}: says that C-MOVE sent the instance, and it did not come",
        f"check that what it knows as our AE is {here}, and the firewalls between",
    )
