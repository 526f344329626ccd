"""Asks a PACS: C-ECHO, C-FIND of studies and series, C-MOVE of a study; one association each.

It receives no instance: a C-MOVE makes the PACS send them to a storage SCP.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import build_context
from pynetdicom.association import Association

from listener.settings import require_ae_title
from query.association import associated, responses_from
from query.errors import AssociationAborted, MoveRefused, PacsTimeout, QueryFailed
from query.keys import (
    StudyCriteria,
    instance_identifier,
    is_uid,
    meets,
    move_identifier,
    series_identifier,
    study_identifier,
)
from query.matches import SeriesMatch, StudyMatch, series_match, sop_instance_uid, study_match
from query.moves import MoveOutcome, MoveProgress, move_outcome, move_progress
from query.settings import PacsSettings
from query.statuses import MOVE_ENDED, PENDING, SUCCESS, find_meaning, move_meaning

# PS3.6 A; by number, because pynetdicom makes its names at run time.
Verification = UID("1.2.840.10008.1.1")
StudyRootFind = UID("1.2.840.10008.5.1.4.1.2.2.1")
StudyRootMove = UID("1.2.840.10008.5.1.4.1.2.2.2")

_MESSAGE_ID = 1
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
    studies = tuple(study for study in answered if _is_meant(study, criteria))
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
    pacs: PacsSettings, study_uid: str, series_uid: str, *, calling_ae: str
) -> frozenset[str]:
    """Find the instances of a series (C-FIND, Study Root, IMAGE level, PS3.4 C.6.2).

    Returns
    -------
    frozenset of str
        SOP Instance UIDs; empty if the PACS does not list the series at this level.

    Raises
    ------
    InvalidKey
        If a UID is not one.
    QueryError
        The leaf that names the cause, see `query.errors`.
    """
    identifier = instance_identifier(study_uid, series_uid)
    answers, truncated = _find(pacs, identifier, calling_ae, maximum=_MAXIMUM_INSTANCES)
    uids = frozenset(uid for uid in map(sop_instance_uid, answers) if is_uid(uid))
    if truncated or len(uids) != len(answers):
        raise QueryFailed(f"{pacs.ae_title} lists series {series_uid} in a way that proves nothing")
    return uids


def move_study(
    pacs: PacsSettings,
    study_uid: str,
    *,
    destination_ae: str,
    destination_host: str,
    destination_port: int,
    calling_ae: str,
    on_progress: Callable[[MoveProgress], None] | None = None,
) -> MoveOutcome:
    """Have a PACS send a study to a storage SCP (C-MOVE, Study Root, PS3.4 C.4.2).

    Parameters
    ----------
    pacs : PacsSettings
        Who holds the study.
    study_uid : str
        The study.
    destination_ae, destination_host, destination_port : str, str, int
        The storage SCP; C-MOVE carries its AE title alone, the rest is for messages.
    calling_ae : str
        Our AE title.
    on_progress : callable or None
        Called with the counters of each pending response; an exception in it aborts the move.

    Returns
    -------
    MoveOutcome
        What the PACS claims: for 0x0000, 0xB000 (some failed) and 0xFE00 (stopped there).

    Raises
    ------
    MoveRefused
        For every other status: 0xA801, 0xA701, 0xA702, 0xA900, 0xCxxx and those of PS3.7 C.
    QueryError
        The leaf that names the cause, see `query.errors`; InvalidKey for what is no UID.
    """
    require_ae_title(destination_ae)
    identifier = move_identifier(study_uid)
    status, failures = _move(pacs, identifier, destination_ae, calling_ae, on_progress)
    if status.Status not in MOVE_ENDED:
        raise _move_refused(
            pacs,
            status.Status,
            calling_ae=calling_ae,
            destination_ae=destination_ae,
            destination_host=destination_host,
            destination_port=destination_port,
        )
    return move_outcome(status, failures)


def _find(
    pacs: PacsSettings, identifier: Dataset, calling_ae: str, *, maximum: int | None = None
) -> tuple[list[Dataset], bool]:
    """Return the identifiers found and whether there were more than may be taken."""
    maximum = maximum or pacs.max_results
    found: list[Dataset] = []
    limit = pacs.response_seconds
    contexts = [build_context(StudyRootFind)]
    with associated(pacs, contexts, calling_ae=calling_ae, dimse_seconds=limit) as association:
        send = partial(association.send_c_find, identifier, StudyRootFind, _MESSAGE_ID)
        answers = responses_from(send, pacs, service="C-FIND", dimse_seconds=limit)
        for status, match in answers:
            if status.Status not in PENDING:
                _check_found(pacs, status.Status, calling_ae)
            elif match is None:
                raise QueryFailed(
                    f"{pacs.ae_title} sent a match that is not DICOM; its log says why"
                )
            elif len(found) == maximum:
                _cancel(association, answers, pacs.cancel_seconds)
                return found, True
            else:
                found.append(match)
    return found, False


def _cancel(
    association: Association, answers: Iterator[tuple[Dataset, Dataset | None]], seconds: float
) -> None:
    """Stop a C-FIND (PS3.4 C.4.1.2.2) and read what is on its way: a PACS need not stop at once."""
    association.dimse_timeout = seconds
    deadline = time.monotonic() + seconds
    # What was found is whole; how the rest ends does not matter any more.
    with suppress(PacsTimeout, AssociationAborted, RuntimeError):
        association.send_c_cancel(_MESSAGE_ID, query_model=StudyRootFind)
        for _ in answers:
            if time.monotonic() > deadline:
                association.abort()
                return


def _move(
    pacs: PacsSettings,
    identifier: Dataset,
    destination_ae: str,
    calling_ae: str,
    on_progress: Callable[[MoveProgress], None] | None,
) -> tuple[Dataset, Dataset | None]:
    """Return the final status of a C-MOVE and its identifier."""
    final: tuple[Dataset, Dataset | None] = Dataset(), None
    limit = pacs.move_seconds
    contexts = [build_context(StudyRootMove)]
    with associated(pacs, contexts, calling_ae=calling_ae, dimse_seconds=limit) as association:
        send = partial(association.send_c_move, identifier, destination_ae, StudyRootMove)
        for final in responses_from(send, pacs, service="C-MOVE", dimse_seconds=limit):
            status, _ = final
            if status.Status in PENDING and on_progress is not None:
                on_progress(move_progress(status))
    return final


def _is_meant(study: StudyMatch, criteria: StudyCriteria) -> bool:
    """Filter again; an optional key that came back empty is unknown and excludes nothing."""
    if not is_uid(study.StudyInstanceUID):
        return False
    modalities, description = study.ModalitiesInStudy, study.StudyDescription
    return (
        meets(criteria.accession_number, study.AccessionNumber)
        and meets(criteria.patient_id, study.PatientID)
        and (criteria.modality is None or not modalities or criteria.modality in modalities)
        and (not description or meets(criteria.description, description))
    )


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


def _move_refused(pacs: PacsSettings, status: int, **names: str | int) -> MoveRefused:
    meaning = move_meaning(status)
    return MoveRefused(
        f"C-MOVE refused by {pacs.ae_title} (0x{status:04X}, {meaning.text}): "
        f"{meaning.remedy.format(**names)}",
        status=status,
    )
