"""Asks a PACS whether it is there (C-ECHO) and what it holds (C-FIND); one association each."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context

from listener.dimse import C_FIND_RQ, QueryResponse
from query.association import associated, conversing, responses_from
from query.conversation import Conversation, Question
from query.errors import AssociationAborted, PacsTimeout, QueryFailed
from query.identifiers import instance_identifier, series_identifier, study_identifier
from query.keys import StudyCriteria, Wildcard, is_uid, meets
from query.matches import (
    InstanceMatch,
    SeriesMatch,
    StudyMatch,
    instance_match,
    series_match,
    study_match,
)
from query.settings import PacsSettings
from query.statuses import PENDING, SUCCESS, find_meaning

# PS3.6 A; by number, because pynetdicom makes its names at run time.
Verification = UID("1.2.840.10008.1.1")
StudyRootFind = UID("1.2.840.10008.5.1.4.1.2.2.1")

_MAXIMUM_INSTANCES = 100_000  # of one series


@dataclass(frozen=True)
class StudyMatches:
    """The studies found.

    Parameters
    ----------
    studies : tuple of StudyMatch
        In the order of the PACS.
    truncated : bool
        Whether there were more than ``max_results``; the rest was cancelled.
    dropped : int
        Answers left out because they do not meet the criteria (the PACS ignored an optional key,
        or took a literal character for a wildcard) or name no study.
    """

    studies: tuple[StudyMatch, ...]
    truncated: bool
    dropped: int


def echo(pacs: PacsSettings, *, calling_ae: str) -> None:
    """Verify that a PACS answers us (C-ECHO, PS3.4 A); return if it does.

    Raises
    ------
    QueryError
        The leaf that names the cause, see `query.errors`.
    """
    limit = pacs.response_seconds
    contexts = [build_context(Verification)]
    with associated(pacs, contexts, calling_ae=calling_ae, dimse_seconds=limit) as association:
        for status, _ in responses_from(
            lambda: [(association.send_c_echo(), None)],
            pacs,
            service="C-ECHO",
            dimse_seconds=limit,
        ):
            if status.Status != SUCCESS:
                raise _failed(pacs, "C-ECHO", status.Status, calling_ae)


def find_studies(pacs: PacsSettings, criteria: StudyCriteria, *, calling_ae: str) -> StudyMatches:
    """Find studies (C-FIND, Study Root, STUDY level, PS3.4 C.6.2).

    The answers are filtered again here, because a PACS may ignore optional keys. A study whose
    modalities the PACS does not tell is kept: nothing says that it is not meant.

    Parameters
    ----------
    pacs : PacsSettings
        Whom to ask.
    criteria : StudyCriteria
        What to look for.
    calling_ae : str
        Our AE title.

    Returns
    -------
    StudyMatches
        Possibly none; `truncated` if there were more than ``pacs.max_results``.

    Raises
    ------
    QueryError
        The leaf that names the cause, see `query.errors`.
    """
    identifiers, truncated = _find(pacs, study_identifier(criteria), calling_ae)
    answered = [study_match(identifier, pacs.fallback_charset) for identifier in identifiers]
    studies = tuple(study for study in answered if is_meant(study, criteria))
    return StudyMatches(studies, truncated=truncated, dropped=len(answered) - len(studies))


def find_series(
    pacs: PacsSettings, study_uid: str, *, modality: str | None = None, calling_ae: str
) -> tuple[SeriesMatch, ...]:
    """Find the series of a study (C-FIND, Study Root, SERIES level, PS3.4 C.6.2).

    Parameters
    ----------
    pacs : PacsSettings
        Whom to ask.
    study_uid : str
        The study.
    modality : str or None
        Only series of this modality.
    calling_ae : str
        Our AE title.

    Returns
    -------
    tuple of SeriesMatch
        Empty if the PACS does not hold the study.

    Raises
    ------
    InvalidKey
        If `study_uid` or `modality` is not one.
    QueryError
        The leaf that names the cause, see `query.errors`.
    """
    identifiers, truncated = _find(pacs, series_identifier(study_uid, modality), calling_ae)
    if truncated:
        raise QueryFailed(
            f"{pacs.ae_title} lists more than {pacs.max_results} series for study {study_uid}; "
            f'raise max_results of [[pacs]] "{pacs.name}"'
        )
    answered = (series_match(identifier, pacs.fallback_charset) for identifier in identifiers)
    return tuple(series for series in answered if _belongs(series, study_uid, modality))


def find_instances(
    pacs: PacsSettings,
    study_uid: str,
    series_uid: str,
    *,
    calling_ae: str,
    image_type: bool = False,
) -> tuple[InstanceMatch, ...]:
    """Find the instances of a series (C-FIND, Study Root, IMAGE level, PS3.4 C.6.2).

    Parameters
    ----------
    pacs : PacsSettings
        Whom to ask.
    study_uid, series_uid : str
        The series.
    calling_ae : str
        Our AE title.
    image_type : bool
        Whether to ask for ImageType too.

    Returns
    -------
    tuple of InstanceMatch
        Each instance once; empty if the PACS does not list the series at this level.

    Raises
    ------
    InvalidKey
        If a UID is not one.
    QueryFailed
        If an answer is no instance, so that the list proves nothing.
    QueryError
        The leaf that names the cause, see `query.errors`.
    """
    identifier = instance_identifier(study_uid, series_uid, image_type=image_type)
    answers, truncated = _find(pacs, identifier, calling_ae, maximum=_MAXIMUM_INSTANCES)
    answered = [instance_match(answer) for answer in answers]
    if truncated or not all(is_uid(one.SOPInstanceUID) for one in answered):
        raise QueryFailed(f"{pacs.ae_title} lists series {series_uid} in a way that proves nothing")
    ours = (one for one in answered if one.SeriesInstanceUID in ("", series_uid))
    return tuple({one.SOPInstanceUID: one for one in ours}.values())


def _find(
    pacs: PacsSettings, identifier: Dataset, calling_ae: str, *, maximum: int | None = None
) -> tuple[list[Dataset], bool]:
    """Return the identifiers found and whether there were more than may be taken."""
    maximum = maximum or pacs.max_results
    found: list[Dataset] = []
    question = Question(C_FIND_RQ, "C-FIND", StudyRootFind, identifier)
    contexts = [build_context(StudyRootFind)]
    with conversing(
        pacs, contexts, calling_ae=calling_ae, dimse_seconds=pacs.response_seconds
    ) as conversation:
        answers = conversation.ask(question)
        for response, match in answers:
            if response.status not in PENDING:
                _check_found(pacs, response.status, calling_ae)
            elif match is None:
                raise QueryFailed(
                    f"{pacs.ae_title} sent a match that is not DICOM; its log says why"
                )
            elif len(found) == maximum:
                _cancel(conversation, answers, pacs.cancel_seconds)
                return found, True
            else:
                found.append(match)
    return found, False


def _cancel(
    conversation: Conversation,
    answers: Iterator[tuple[QueryResponse, Dataset | None]],
    seconds: float,
) -> None:
    """Stop a C-FIND (PS3.4 C.4.1.2.2) and read what is on its way: a PACS need not stop at once."""
    deadline = time.monotonic() + seconds
    # What was found is whole; how the rest ends does not matter any more.
    with suppress(PacsTimeout, AssociationAborted):
        conversation.cancel(seconds)
        for response, _ in answers:
            if response.status not in PENDING:
                return
            if time.monotonic() > deadline:
                break
    conversation.abort()


def is_meant(study: StudyMatch, criteria: StudyCriteria) -> bool:
    """Tell whether an answer meets the criteria: archives may ignore keys that are optional.

    One that came back empty is unknown and excludes nothing.
    """
    if not is_uid(study.StudyInstanceUID):
        return False
    modalities, description = study.ModalitiesInStudy, study.StudyDescription
    return (
        meets(criteria.accession_number, study.AccessionNumber)
        and meets(criteria.patient_id, study.PatientID)
        and _is_named(study.PatientName, criteria.patient_name)
        and (criteria.modality is None or not modalities or criteria.modality in modalities)
        and (not description or meets(criteria.description, description))
    )


def _is_named(name: str, wanted: str | Wildcard | None) -> bool:
    """Compare with the whole name and with each of its groups (PS3.5 6.2.1.1)."""
    return any(meets(wanted, form) for form in (name, *name.split("=")))


def _belongs(series: SeriesMatch, study_uid: str, modality: str | None) -> bool:
    if not is_uid(series.SeriesInstanceUID) or series.StudyInstanceUID not in ("", study_uid):
        return False
    return modality is None or series.Modality == modality


def _check_found(pacs: PacsSettings, status: int, calling_ae: str) -> None:
    if status != SUCCESS:
        raise _failed(pacs, "C-FIND", status, calling_ae)


def _failed(pacs: PacsSettings, service: str, status: int, calling_ae: str) -> QueryFailed:
    meaning = find_meaning(status)
    remedy = meaning.remedy.format(calling_ae=calling_ae)
    return QueryFailed(
        f"{service} failed at {pacs.ae_title} (0x{status:04X}, {meaning.text}): {remedy}",
        status=status,
    )
