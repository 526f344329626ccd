"""Asks a PACS by DICOMweb what `query.client` asks by C-FIND, and has it send what C-GET would.

QIDO-RS and WADO-RS (PS3.18 10.6, 10.4) by dicomweb-client. The criteria stand in the URLs of
QIDO-RS: the standard knows no other way, so the log of the web server has them. Ours has not: what
would write them is kept silent.
"""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any, cast

import requests
from dicomweb_client import DICOMwebClient
from pydicom.dataset import Dataset, FileDataset
from pynetdicom.dsutils import decode, encode

from listener.part10 import dataset_offset
from query.client import StudyMatches, is_meant
from query.errors import (
    AssociationAborted,
    AssociationRejected,
    PacsTimeout,
    PacsUnreachable,
    QueryFailed,
)
from query.get import Instance, Keep
from query.identifiers import (
    Selection,
    instance_identifier,
    series_identifier,
    study_identifier,
)
from query.keys import StudyCriteria, is_uid
from query.matches import (
    InstanceMatch,
    SeriesMatch,
    instance_match,
    series_match,
    study_match,
)
from query.outcomes import RetrieveOutcome
from query.settings import PacsSettings
from query.statuses import SUCCESS

_ANY_SYNTAX = (("application/dicom", "*"),)  # as it is kept, and not transcoded
_NOT_ALLOWED = (401, 403)
_PAGE = 1000
_MAXIMUM_INSTANCES = 100_000  # of one series
_SOME_FAILED = 0xB000  # what C-GET would answer


def find_studies(pacs: PacsSettings, criteria: StudyCriteria, *, calling_ae: str) -> StudyMatches:
    """Find studies (QIDO-RS); see `query.client.find_studies`."""
    del calling_ae
    answers = _search(pacs, "studies", study_identifier(criteria), pacs.max_results + 1)
    truncated = len(answers) > pacs.max_results
    answered = [study_match(answer) for answer in answers[: pacs.max_results]]
    studies = tuple(study for study in answered if is_meant(study, criteria))
    return StudyMatches(studies, truncated=truncated, dropped=len(answered) - len(studies))


def find_series(
    pacs: PacsSettings, study_uid: str, *, modality: str | None = None, calling_ae: str
) -> tuple[SeriesMatch, ...]:
    """Find the series of a study (QIDO-RS); see `query.client.find_series`."""
    del calling_ae
    identifier = series_identifier(study_uid, modality)
    answers = _search(pacs, "series", identifier, pacs.max_results + 1)
    if len(answers) > pacs.max_results:
        raise QueryFailed(
            f"{pacs.ae_title} lists more than {pacs.max_results} series for study {study_uid}; "
            f'raise max_results of [[pacs]] "{pacs.name}"'
        )
    found = (series_match(answer) for answer in answers)
    return tuple(one for one in found if is_uid(one.SeriesInstanceUID))


def find_instances(
    pacs: PacsSettings,
    study_uid: str,
    series_uid: str,
    *,
    calling_ae: str,
    image_type: bool = False,
) -> tuple[InstanceMatch, ...]:
    """Find the instances of a series (QIDO-RS); see `query.client.find_instances`."""
    del calling_ae
    identifier = instance_identifier(study_uid, series_uid, image_type=image_type)
    answers = _search(pacs, "instances", identifier, _MAXIMUM_INSTANCES)
    found = [instance_match(answer) for answer in answers]
    if not all(is_uid(one.SOPInstanceUID) for one in found):
        raise QueryFailed(f"{pacs.ae_title} lists series {series_uid} in a way that proves nothing")
    return tuple({one.SOPInstanceUID: one for one in found}.values())


def fetch(
    pacs: PacsSettings, selections: Iterable[Selection], keep: Keep
) -> Iterator[RetrieveOutcome]:
    """Have a PACS send studies, series or instances (WADO-RS), each as it is kept there.

    Parameters
    ----------
    pacs : PacsSettings
        Who holds them; `url` says where.
    selections : iterable of Selection
        What is asked for; each is a request of its own.
    keep : callable
        Called with each instance that comes.

    Yields
    ------
    RetrieveOutcome
        What came of each selection, in the statuses of a C-GET.

    Raises
    ------
    QueryError
        The leaf that names the cause, see `query.errors`.
    """
    client = client_of(pacs, pacs.move_seconds)
    for selection in selections:
        kept, refused, refusal = 0, 0, ""
        with told_apart(pacs):
            try:
                for dataset in _sent(client, selection):
                    status, _ = keep(_instance(dataset))
                    kept, refused = kept + (status == SUCCESS), refused + (status != SUCCESS)
            except requests.HTTPError as error:
                if error.response.status_code in _NOT_ALLOWED:
                    raise
                refusal = _answered(pacs, error)
        status = _SOME_FAILED if refused or refusal else SUCCESS
        yield RetrieveOutcome(status, kept, refused, 0, 0, (), refusal)


def _sent(client: DICOMwebClient, selection: Selection) -> Iterator[Dataset]:
    study, series, instance = (
        selection.StudyInstanceUID,
        selection.SeriesInstanceUID,
        selection.SOPInstanceUID,
    )
    if instance:
        return iter([client.retrieve_instance(study, series, instance, media_types=_ANY_SYNTAX)])
    if series:
        return client.iter_series(study, series, media_types=_ANY_SYNTAX)
    return client.iter_study(study, media_types=_ANY_SYNTAX)


def _instance(dataset: Dataset) -> Instance:
    """An instance with the bytes that came, which pydicom has kept beside what it read of them."""
    part10 = cast("BytesIO", cast("FileDataset", dataset).buffer).getvalue()
    return Instance(
        str(dataset.file_meta.MediaStorageSOPClassUID),
        str(dataset.file_meta.MediaStorageSOPInstanceUID),
        str(dataset.file_meta.TransferSyntaxUID),
        memoryview(part10)[dataset_offset(part10) :],
    )


def client_of(pacs: PacsSettings, seconds: float) -> DICOMwebClient:
    """A client that waits so long for an answer, repeats nothing and logs nothing."""
    for name in ("dicomweb_client", "urllib3"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    session = requests.Session()
    session.trust_env = False  # no proxy of the environment is meant for a PACS
    if pacs.username:
        session.auth = (pacs.username, pacs.password)
    client = DICOMwebClient(pacs.url, session=session, timeout=(pacs.connect_seconds, seconds))
    client.set_http_retry_params(retry=False)
    return client


def _search(pacs: PacsSettings, what: str, identifier: Dataset, limit: int) -> list[Dataset]:
    """Return at most `limit` answers, page by page: a server may send fewer than are asked for."""
    client = client_of(pacs, pacs.response_seconds)
    searches: dict[str, Callable[..., list[dict[str, Any]]]] = {
        "studies": client.search_for_studies,
        "series": client.search_for_series,
        "instances": client.search_for_instances,
    }
    found: list[dict[str, Any]] = []
    with told_apart(pacs):
        while len(found) < limit:
            page = searches[what](
                **_query(identifier), limit=min(_PAGE, limit - len(found)), offset=len(found)
            )
            if not page or page[-1:] == found[-1:]:  # no more, or a server that knows no offset
                break
            found += page
    return [_as_read(pacs, identifier, answer) for answer in found]


def _query(identifier: Dataset) -> dict[str, Any]:
    """An identifier as the arguments of a search: UIDs of the path, filters, and fields."""
    paths = {"StudyInstanceUID": "study_instance_uid", "SeriesInstanceUID": "series_instance_uid"}
    elements = {e.keyword: str(e.value) for e in identifier if e.keyword not in _NO_KEYS}
    given = {keyword: value for keyword, value in elements.items() if value}
    filters = {keyword: value for keyword, value in given.items() if keyword not in paths}
    return {
        **{paths[keyword]: uid for keyword, uid in given.items() if keyword in paths},
        "search_filters": filters,
        "fields": [keyword for keyword, value in elements.items() if not value],
    }


_NO_KEYS = ("QueryRetrieveLevel", "SpecificCharacterSet")


def _as_read(pacs: PacsSettings, identifier: Dataset, answer: dict[str, Any]) -> Dataset:
    """An answer as if it were read from a C-FIND response, with the UIDs that were asked for."""
    try:
        dataset = Dataset.from_json(answer)
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
            if identifier.get(keyword):
                setattr(dataset, keyword, identifier[keyword].value)
        dataset.SpecificCharacterSet = "ISO_IR 192"
        stream = encode(dataset, True, True)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise QueryFailed(f"{pacs.ae_title} sent an answer that is not DICOM JSON") from error
    return decode(BytesIO(stream or b""), True, True)


@contextmanager
def told_apart(pacs: PacsSettings) -> Iterator[None]:
    """Turn what requests says of a failure into our errors; its own messages have the URL."""
    where = f"{pacs.ae_title} at {pacs.url}"
    try:
        yield
    except requests.ConnectTimeout as error:
        raise PacsUnreachable(f"cannot reach {where}: no answer; check its url") from error
    except requests.Timeout as error:
        raise PacsTimeout(f"{where} did not answer in time; try again later") from error
    except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ContentDecodingError):
        raise AssociationAborted(f"{where} ended its answer before it was complete") from None
    except requests.ConnectionError as error:
        problem = f'cannot reach {where}; check the url of [[pacs]] "{pacs.name}", that it runs'
        raise PacsUnreachable(f"{problem}, and the firewalls between") from error
    except requests.HTTPError as error:
        if error.response.status_code in _NOT_ALLOWED:
            raise AssociationRejected(
                f"{where} does not let us in (HTTP {error.response.status_code}); check username"
                f' and password of [[pacs]] "{pacs.name}"'
            ) from error
        raise QueryFailed(_answered(pacs, error)) from error
    except (requests.RequestException, ValueError) as error:
        raise QueryFailed(f"{where} answered what is not DICOMweb; is the url right?") from error


def _answered(pacs: PacsSettings, error: requests.HTTPError) -> str:
    return f"{pacs.ae_title} answered HTTP {error.response.status_code}; its log says why"
