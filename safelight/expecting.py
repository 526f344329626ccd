"""What a PACS says that an accession number has, and which of it is wanted; it fetches nothing."""

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from listener.retrievals import ListedSeries
from query import client, web
from query.client import StudyMatches
from query.errors import QueryError, QueryFailed, ServiceNotOffered
from query.keys import StudyCriteria
from query.matches import InstanceMatch, SeriesMatch, StudyMatch
from query.settings import Method, PacsSettings
from safelight.retrieve_filters import Filter


@dataclass(frozen=True)
class ExpectedSeries:
    """One series, as the PACS tells it.

    Attributes
    ----------
    match
        Its answer at the SERIES level.
    instances
        Its answers at the IMAGE level; empty where it lists none, or they were not asked for.
    left_out
        The rule that leaves it out, with its reason; empty where it is wanted.
    """

    match: SeriesMatch
    instances: tuple[InstanceMatch, ...] = ()
    left_out: str = ""

    @property
    def listed(self) -> ListedSeries:
        """What it is proven by."""
        uids = frozenset(one.SOPInstanceUID for one in self.instances)
        return ListedSeries(self.match.NumberOfSeriesRelatedInstances, uids)


@dataclass(frozen=True)
class ExpectedStudy:
    """One study, with its series; `series` is empty where the PACS tells of none."""

    match: StudyMatch
    series: tuple[ExpectedSeries, ...]

    @property
    def wanted(self) -> tuple[ExpectedSeries, ...]:
        """The series that no rule leaves out."""
        return tuple(one for one in self.series if not one.left_out)

    @property
    def is_measurable(self) -> bool:
        """Whether the PACS lists or counts each series that is wanted."""
        return bool(self.series) and all(one.listed.expected is not None for one in self.wanted)


class Source(Protocol):
    """What answers: `query.client` or `query.web`."""

    @property
    def find_studies(self) -> Callable[..., StudyMatches]:
        """As `query.client.find_studies`."""

    @property
    def find_series(self) -> Callable[..., tuple[SeriesMatch, ...]]:
        """As `query.client.find_series`."""

    @property
    def find_instances(self) -> Callable[..., tuple[InstanceMatch, ...]]:
        """As `query.client.find_instances`."""


@dataclass(frozen=True)
class Enquiry:
    """Asks one PACS.

    Attributes
    ----------
    pacs, calling_ae
        Whom, and as whom.
    filter
        The rules that leave series out.
    source
        How: by C-FIND or by QIDO-RS.
    """

    pacs: PacsSettings
    calling_ae: str
    filter: Filter
    source: Source

    def studies(self, accession_number: str) -> tuple[StudyMatch, ...]:
        """The studies of an accession number.

        Raises
        ------
        QueryError
            The leaf that names the cause; QueryFailed too where there are more than max_results.
        """
        criteria = StudyCriteria(accession_number=accession_number)
        found = self.source.find_studies(self.pacs, criteria, calling_ae=self.calling_ae)
        if found.truncated:
            raise QueryFailed(
                f"{self.pacs.ae_title} has more than {self.pacs.max_results} studies of one"
                f' accession number; raise max_results of [[pacs]] "{self.pacs.name}"'
            )
        return found.studies

    def expected(self, study: StudyMatch) -> ExpectedStudy:
        """What a study has: its series as `counted` tells, and the instances of those wanted.

        Raises
        ------
        QueryError
            The PACS did not answer at all.
        """
        return self.listed(self.counted(study))

    def counted(self, study: StudyMatch) -> ExpectedStudy:
        """The series of a study, without their instances.

        A PACS that answers no list has none: it sends all the same.

        Raises
        ------
        QueryError
            The PACS did not answer at all.
        """
        try:
            found = self.source.find_series(
                self.pacs, study.StudyInstanceUID, calling_ae=self.calling_ae
            )
        except ServiceNotOffered:
            raise
        except QueryFailed:
            found = ()
        series = (ExpectedSeries(one) for one in found)
        if not self.filter.asks_for_image_type:
            series = (self._judged(study, one) for one in series)
        return ExpectedStudy(study, tuple(series))

    def listed(self, study: ExpectedStudy) -> ExpectedStudy:
        """A study that was `counted`, with the instances of each series that is wanted.

        Raises
        ------
        QueryError
            The PACS did not answer at all.
        """
        return ExpectedStudy(study.match, tuple(self._listed(study.match, s) for s in study.series))

    def _listed(self, study: StudyMatch, series: ExpectedSeries) -> ExpectedSeries:
        if series.left_out:
            return series
        return self._judged(study, ExpectedSeries(series.match, self._instances(series.match)))

    def _judged(self, study: StudyMatch, series: ExpectedSeries) -> ExpectedSeries:
        """A series with the rule that leaves it out."""
        left_out = self.filter.judge(study, series.match, series.instances)
        return ExpectedSeries(series.match, series.instances, left_out)

    def _instances(self, series: SeriesMatch) -> tuple[InstanceMatch, ...]:
        try:
            return self.source.find_instances(
                self.pacs,
                series.StudyInstanceUID,
                series.SeriesInstanceUID,
                calling_ae=self.calling_ae,
                image_type=self.filter.asks_for_image_type,
            )
        except ServiceNotOffered:
            raise
        except QueryFailed:
            return ()


class Listing:
    """A study that was `counted`, and its list, which can be asked for while instances come.

    Parameters
    ----------
    enquiry, counted
        Whom to ask, and the study.
    """

    def __init__(self, enquiry: Enquiry, counted: ExpectedStudy) -> None:
        self._enquiry = enquiry
        self._listed: ExpectedStudy | None = None
        self._thread: threading.Thread | None = None
        self.counted = counted

    @property
    def uid(self) -> str:
        """StudyInstanceUID."""
        return self.counted.match.StudyInstanceUID

    def begin(self) -> None:
        """Ask in a thread, unless it was asked for."""
        if self._thread is None and self._listed is None:
            self._thread = threading.Thread(target=self._ask, name="listing", daemon=True)
            self._thread.start()

    def study(self) -> ExpectedStudy:
        """The study with its list. It is asked for again where the thread did not get it.

        Raises
        ------
        QueryError
            The PACS did not answer at all.
        """
        known = self.latest()
        if self._listed is None:
            known = self._listed = self._enquiry.listed(self.counted)
        return known

    def latest(self) -> ExpectedStudy:
        """What is known of the study: where it was not listed, its series alone."""
        if self._thread is not None:
            self._thread.join()
        return self.so_far()

    def so_far(self) -> ExpectedStudy:
        """What is known of the study by now; may be called from any thread."""
        return self._listed or self.counted

    def _ask(self) -> None:
        with suppress(QueryError):  # a PACS may take no second association: later, then
            study = self._enquiry.listed(self.counted)
            if all(one.instances for one in study.wanted):
                self._listed = study


def enquiry_of(pacs: PacsSettings, calling_ae: str, rules: Filter, method: Method) -> Enquiry:
    """What asks a PACS from which instances come by `method`."""
    return Enquiry(pacs, calling_ae, rules, source_of(method))


def source_of(method: Method) -> Source:
    """What answers where instances come by `method`."""
    return web if method == "dicomweb" else client
