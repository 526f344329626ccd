"""What ``safelight doctor`` says of senders and PACS. It has nothing sent: `doctor_moving` does."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

from ledger.reader import LedgerReader
from processor.words import count
from query.client import StudyMatches, echo
from query.errors import QueryError, ServiceNotOffered
from query.keys import DateRange, StudyCriteria
from query.settings import PacsSettings
from safelight.doctor_findings import Finding, failed, ok, warning
from safelight.doctor_site import Site
from safelight.expecting import source_of
from safelight.page_node import network_of
from web_status.network import Allowed, silences

_ITS_LOG = "its log says why"
_STUDIES = 20
_ASSOCIATIONS = 1000  # the latest, among which those that were rejected are looked for
_DAY = timedelta(days=1)


def senders(site: Site) -> Iterator[Finding]:
    """Who may send, when each brought something last, and who was turned away today."""
    network = network_of(site.config)
    if not network.allowed:
        yield warning("nobody may send", "name the senders in [[dicom.accept]]")
    with site.ledger() as reader:
        if reader is None:
            yield from (ok(_allowed(one, None)) for one in network.allowed)
            return
        silent = {one.calling_ae for one in silences(reader, network)}
        for one in network.allowed:
            told = _allowed(one, reader.senders.last_brought_at(one.calling_ae))
            if one.calling_ae in silent:
                yield warning(
                    f"{told}: it is silent for more than {one.silent_hours:g} hours",
                    "ask whether it still sends to us, and have it echo us",
                )
            else:
                yield ok(told)
        yield from _turned_away(reader)


def _turned_away(reader: LedgerReader) -> Iterator[Finding]:
    """Whose associations were rejected and what else was refused in the last 24 hours."""
    since = (datetime.now(UTC) - _DAY).isoformat(timespec="milliseconds")
    rejected = Counter(
        (row.calling_ae, row.reason)
        for row in reader.associations(limit=_ASSOCIATIONS)
        if row.state == "rejected" and row.began_at > since
    )
    refused = {
        (group.calling_ae, group.reason): group.times
        for group in reader.senders.refusals()
        if group.last_at > since
    }
    for (calling_ae, reason), times in (*rejected.items(), *refused.items()):
        yield warning(
            f"{calling_ae or 'somebody'} was turned away {count(times, 'time')}: {reason}",
            "if it should send, change [[dicom.accept]] or what it calls; else leave it",
        )


def _allowed(one: Allowed, last: str | None) -> str:
    told = f"{one.calling_ae} from {one.addresses} may {one.may}"
    if one.calling_ae == "*":
        return told
    return f"{told}; {f'brought something last at {last[:16]} UTC' if last else 'never sent yet'}"


def pacs(site: Site, then: Callable[[Site, PacsSettings], Finding] | None) -> Iterator[Finding]:
    """Whether each PACS answers C-ECHO and C-FIND, or its DICOMweb services a search.

    Parameters
    ----------
    site
        Who asks whom.
    then
        Asks more of one that answers.
    """
    for one in site.config.pacs:
        try:
            yield from _answers(one, site.config.dicom.ae_title)
        except ServiceNotOffered as error:  # some are only sent to
            yield _named(one, replace(failed(error, _ITS_LOG), level="warning"))
        except QueryError as error:
            yield _named(one, failed(error, _ITS_LOG))
        else:
            yield from () if then is None else [_more(then, site, one)]


def _more(then: Callable[[Site, PacsSettings], Finding], site: Site, pacs: PacsSettings) -> Finding:
    try:
        return then(site, pacs)
    except QueryError as error:
        return _named(pacs, failed(error, _ITS_LOG))


def _answers(pacs: PacsSettings, calling_ae: str) -> Iterator[Finding]:
    if pacs.retrieve != "dicomweb":
        echo(pacs, calling_ae=calling_ae)
        yield ok(f"{pacs.name}: {pacs.ae_title} at {pacs.host}:{pacs.port} answers C-ECHO")
    found = studies_of(pacs, calling_ae, days=1)
    how = "a search of DICOMweb" if pacs.retrieve == "dicomweb" else "C-FIND"
    studies = f"{count(len(found.studies), 'study', 'studies')}{' or more' * found.truncated}"
    yield ok(f"{pacs.name}: answers {how}: {studies} of today and yesterday")


def _named(pacs: PacsSettings, finding: Finding) -> Finding:
    return replace(finding, what=f"{pacs.name}: {finding.what}")


def studies_of(pacs: PacsSettings, calling_ae: str, *, days: int) -> StudyMatches:
    """The studies of the last `days`, and today's; no more than a few of them are asked for.

    Raises
    ------
    QueryError
        The leaf that names the cause, see `query.errors`.
    """
    today = date.today()  # noqa: DTZ011 - a PACS goes by the clock on the wall
    criteria = StudyCriteria(study_date=DateRange(today - timedelta(days=days), today))
    few = replace(pacs, max_results=_STUDIES)
    return source_of(pacs.retrieve).find_studies(few, criteria, calling_ae=calling_ae)
