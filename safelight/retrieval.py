"""Retrieves one accession number, in a process of its own that may be killed at any time.

What a PACS lists is the measure, and the files of the spool are what is measured; no counter of a
response is believed. Whatever is here already is not asked for again.
"""

import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from ledger.retrieve_records import RetrievedSeries, RetrieveResult
from listener.part10 import silence_dicom_libraries
from listener.retrievals import ListedSeries, Retrieval, Retrievals
from listener.spool import SpoolSettings
from query.errors import (
    AssociationRejected,
    PacsUnreachable,
    QueryError,
    RetrieveRefused,
    ServiceNotOffered,
)
from query.get import classes_of, get
from query.identifiers import Selection
from query.matches import StudyMatch
from query.move import Destination, move
from query.outcomes import RetrieveOutcome
from query.settings import Method, PacsSettings
from query.statuses import MOVE_DESTINATION_UNKNOWN
from query.web import fetch
from safelight.errors import in_one_line
from safelight.expecting import ExpectedSeries, ExpectedStudy, Listing, enquiry_of
from safelight.getting import shelf
from safelight.holdings import Held
from safelight.retrieve_filters import read_filter
from safelight.retrieve_progress import Reporting
from safelight.streams import side_by_side, spread

_POLL_SECONDS = 0.05
_ONE_BY_ONE = 0.5  # with a larger part of a series missing, all of it is asked for
# Destination unknown; not authorised. Any other refusal may be of one study or instance alone.
_REFUSED_TO_ALL = frozenset({MOVE_DESTINATION_UNKNOWN, 0x0124})


@dataclass(frozen=True)
class RetrievalRequest:
    """All that a process needs to know to retrieve one accession number.

    Attributes
    ----------
    accession_number
        What to retrieve.
    pacs, method
        From whom, and how.
    rules
        File name and text of the rules that leave series out.
    spool
        Where it is to arrive.
    ae_title, port
        Of our receiver.
    maximum_instance_bytes
        A larger one that comes on our own connection is refused.
    writer
        The name under which the process writes to the spool.
    progress
        The file in which it tells how far it is.
    """

    accession_number: str = field(repr=False)
    pacs: PacsSettings
    method: Method
    rules: tuple[tuple[str, str], ...]
    spool: SpoolSettings
    ae_title: str
    port: int
    maximum_instance_bytes: int
    writer: str
    progress: Path


def retrieve(request: RetrievalRequest) -> RetrieveResult:
    """Retrieve an accession number; a problem is told in the result and not raised."""
    silence_dicom_libraries()
    return _Retrieval(request).run()


class _Retrieval:
    """One try."""

    def __init__(self, request: RetrievalRequest) -> None:
        self._request = request
        self._pacs = request.pacs
        self._held = Held(request.spool.root)
        rules = read_filter(request.rules)
        self._enquiry = enquiry_of(request.pacs, request.ae_title, rules, request.method)
        self._series: list[RetrievedSeries] = []
        self._studies = 0

    def run(self) -> RetrieveResult:
        problem, is_pacs_wide = "", False
        with Reporting(self._request.progress, self._held) as self._reporting:
            try:
                problem = self._retrieve_all()
            except QueryError as error:
                problem, is_pacs_wide = in_one_line(error), _is_pacs_wide(error)
        return RetrieveResult(self._studies, tuple(self._series), problem, is_pacs_wide)

    def _retrieve_all(self) -> str:
        """Retrieve each study, even after one that could not be; return what went wrong."""
        found = self._enquiry.studies(self._request.accession_number)
        self._studies = len(found)
        problems = []
        for match in found:
            listing = self._listing(match)
            try:
                problems.append(self._retrieve_study(listing))
            except QueryError as error:
                if _is_pacs_wide(error):
                    raise
                problems.append(in_one_line(error))
            finally:
                study = listing.latest()
                self._series += [self._retrieved(study, one) for one in study.series]
        return "; ".join(dict.fromkeys(filter(None, problems)))

    def _listing(self, match: StudyMatch) -> Listing:
        listing = Listing(self._enquiry, self._enquiry.counted(match))
        self._reporting.begin(listing)
        return listing

    def _needs_no_list(self, study: ExpectedStudy) -> bool:
        """Whether all of a study is wanted, however it is listed; it is listed while it comes."""
        is_new = bool(study.series) and not any(map(self._held.received, study.series))
        is_one_move = self._request.method == "move" and self._pacs.streams == 1
        return is_new and is_one_move and not self._enquiry.filter.rules

    def _in_large(self, study: ExpectedStudy) -> list[Selection]:
        wanted = _in_large(study, self._held)
        is_spread = self._request.method == "move" and self._pacs.streams > 1
        return spread(wanted, study) if is_spread else wanted

    def _retrieve_study(self, listing: Listing) -> str:
        """Ask for what is missing of a study, at first in large, then one by one."""
        uid, at_once = listing.uid, self._needs_no_list(listing.counted)
        wanted = [Selection(uid)] if at_once else self._in_large(listing.study())
        if not wanted:
            return ""
        self._note(Retrieval(uid, self._pacs.ae_title, {} if at_once else _listed(listing)))
        sent: int | None = None
        try:
            outcomes = self._ask(listing, wanted)
            if wanted == [Selection(uid)] and not outcomes[0].is_partial:
                sent = outcomes[0].sent
            if all(outcome.refusal for outcome in outcomes):
                outcomes[0].require_performed()
            outcomes += self._ask_for_the_missing(listing)
        finally:  # whatever happened, no more is to be expected of it
            told = _listed(listing)
            self._note(Retrieval(uid, self._pacs.ae_title, told, ended=True, sent=sent))
        study = listing.study()
        is_partial = any(outcome.is_partial for outcome in outcomes)
        if self._held.is_whole(study) or not (study.is_measurable or is_partial):
            return ""
        return self._problem(outcomes)

    def _ask_for_the_missing(self, listing: Listing) -> list[RetrieveOutcome]:
        missing = [
            Selection(one.match.StudyInstanceUID, one.match.SeriesInstanceUID, uid)
            for one in listing.study().wanted
            for uid in self._held.missing([one])
        ]
        self._reporting.stage = "instance by instance"
        return self._ask(listing, missing) if missing else []

    def _ask(self, listing: Listing, wanted: Sequence[Selection]) -> list[RetrieveOutcome]:
        """Ask for several selections and wait for what they bring."""
        before = self._held.count(listing.uid)
        outcomes: list[RetrieveOutcome] = []
        for outcome in self._answers(listing, wanted):
            outcomes.append(outcome)
            if outcome.status in _REFUSED_TO_ALL:
                outcome.require_performed()
        if self._request.method == "move":
            self._wait_for_arrivals(listing.study(), before, outcomes)
        return outcomes

    def _answers(self, listing: Listing, wanted: Sequence[Selection]) -> Iterator[RetrieveOutcome]:
        request = self._request
        if request.method == "move":
            yield from side_by_side(self._pacs.streams, wanted, partial(self._moved, listing))
            return
        with shelf(
            request.spool,
            request.writer,
            self._pacs.ae_title,
            request.ae_title,
            request.maximum_instance_bytes,
        ) as place:
            if request.method == "dicomweb":
                yield from fetch(self._pacs, wanted, place.keep)
                return
            classes = _sop_classes(listing.study())
            yield from get(self._pacs, wanted, classes, place.keep, calling_ae=request.ae_title)

    def _moved(self, listing: Listing, wanted: Sequence[Selection]) -> Iterator[RetrieveOutcome]:
        """Have the PACS send to our receiver; one association, which a refusal to all ends."""
        request = self._request
        here = Destination(request.ae_title, socket.gethostname(), request.port)
        for outcome in move(
            self._pacs,
            wanted,
            here,
            calling_ae=request.ae_title,
            on_progress=lambda _: listing.begin(),
        ):
            yield outcome
            if outcome.status in _REFUSED_TO_ALL:
                return

    def _wait_for_arrivals(
        self, study: ExpectedStudy, before: int, outcomes: Sequence[RetrieveOutcome]
    ) -> None:
        """Wait until all is here or nothing came for a while: the last store may come late.

        Where the PACS itself says that something failed, or there is nothing else to go by, no
        more is waited for than it says it sent.
        """
        believed = not study.is_measurable or any(outcome.is_partial for outcome in outcomes)
        sent = sum(outcome.sent for outcome in outcomes)
        here, deadline = -1, 0.0
        while not self._held.is_whole(study):
            now_here = self._held.count(study.match.StudyInstanceUID)
            if believed and now_here - before >= sent:
                return
            if now_here > here:
                here, deadline = now_here, time.monotonic() + self._pacs.arrival_seconds
            elif time.monotonic() >= deadline:
                return
            time.sleep(_POLL_SECONDS)

    def _problem(self, outcomes: Sequence[RetrieveOutcome]) -> str:
        """Why something is missing, as the PACS tells it, with the remedy."""
        name, request = self._pacs.ae_title, self._request
        refusals = [outcome.refusal for outcome in outcomes if outcome.refusal]
        if refusals:
            return refusals[-1]
        for outcome in outcomes:
            if outcome.is_partial:
                return (
                    f"{name}: {outcome}; its log says why, and `safelight status` what we refused"
                )
        where = f"{request.ae_title} at {socket.gethostname()}, port {request.port}"
        return f"{name} says that it sent everything: check that what it knows as our AE is {where}"

    def _note(self, retrieval: Retrieval) -> None:
        """Leave the evidence in the spool; where that cannot be, retrieve all the same."""
        with suppress(OSError):
            Retrievals(self._request.spool.root).note(retrieval)

    def _retrieved(self, study: ExpectedStudy, series: ExpectedSeries) -> RetrievedSeries:
        match = series.match
        listed, counted = len(series.instances), match.NumberOfSeriesRelatedInstances
        received = self._held.received(series)
        doubt = ""
        if listed and counted is not None and counted > max(listed, received):
            doubt = f"{self._pacs.ae_title} counts {counted} instances and lists {listed}"
        return RetrievedSeries(
            study.match.StudyInstanceUID,
            match.SeriesInstanceUID,
            match.SeriesNumber,
            match.Modality,
            match.SeriesDescription,
            expected=listed or counted,
            received=received,
            missing=() if series.left_out else self._held.missing([series]),
            left_out=series.left_out,
            doubt=doubt,
        )


def _listed(listing: Listing) -> dict[str, ListedSeries]:
    """What is known of the series of a study that are wanted, as evidence."""
    return {one.match.SeriesInstanceUID: one.listed for one in listing.latest().wanted}


def _in_large(study: ExpectedStudy, held: Held) -> list[Selection]:
    """What to ask for at first: the study, the series of which much is missing, or nothing.

    Of a series of which little is missing the instances are asked for one by one later.
    """
    uid = study.match.StudyInstanceUID
    if not study.series:
        return [Selection(uid)]
    short = [one for one in study.wanted if not held.is_here(one)]
    if len(short) == len(study.series) and not any(held.received(one) for one in short):
        return [Selection(uid)]
    return [selection for one in short for selection in _of_series(one, held.missing([one]))]


def _of_series(series: ExpectedSeries, missing: Sequence[str]) -> Iterable[Selection]:
    study_uid, series_uid = series.match.StudyInstanceUID, series.match.SeriesInstanceUID
    if missing and len(missing) <= _ONE_BY_ONE * len(series.instances):
        return [Selection(study_uid, series_uid, uid) for uid in missing]
    return [Selection(study_uid, series_uid)]


def _sop_classes(study: ExpectedStudy) -> tuple[str, ...]:
    """The storage classes of a study: as listed, else those its modalities may have."""
    told = [i.SOPClassUID for one in study.wanted for i in one.instances]
    if told and all(told):
        return tuple(dict.fromkeys(told))
    modalities = {one.match.Modality for one in study.wanted} | {*study.match.ModalitiesInStudy}
    return tuple(dict.fromkeys((*filter(None, told), *classes_of(sorted(modalities)))))


def _is_pacs_wide(error: QueryError) -> bool:
    """Whether every other accession number would meet the same."""
    if isinstance(error, RetrieveRefused):
        return error.status in _REFUSED_TO_ALL
    return isinstance(error, PacsUnreachable | AssociationRejected | ServiceNotOffered)
