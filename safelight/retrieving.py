"""The command ``retrieve``: asks what a study has, has it sent, and says what arrived."""

import socket
import time
from contextlib import suppress

import click

from listener.retrievals import ListedSeries, Retrieval, Retrievals
from query.client import find_instances, find_series, find_studies, move_study
from query.errors import QueryError
from query.keys import StudyCriteria
from query.matches import SeriesMatch, StudyMatch
from query.moves import MoveOutcome, MoveProgress
from query.settings import PacsSettings
from safelight.config import Config
from safelight.pacs_commands import progress_bar
from safelight.status import arrived_instances, require_room

_ARRIVAL_SECONDS = 30.0
_POLL_SECONDS = 0.2


def retrieve(config: Config, accession: str, name: str | None) -> int:
    """Retrieve every study of an accession number; return the exit code."""
    pacs = config.pacs_named(name)
    criteria = StudyCriteria(accession_number=accession)
    matches = find_studies(pacs, criteria, calling_ae=config.dicom.ae_title)
    if not matches.studies:
        click.echo(f"{pacs.ae_title} has no study of this accession number", err=True)
        return 1
    # Every study is tried, even after one that was partial.
    whole = [_retrieve_study(config, pacs, study) for study in matches.studies]
    return 0 if all(whole) else 1


def _retrieve_study(config: Config, pacs: PacsSettings, study: StudyMatch) -> bool:
    """Move one study to us, and say what the PACS claims and what arrived."""
    study_uid = study.StudyInstanceUID
    require_room(config)
    before = arrived_instances(config, study_uid)
    listed = _listed(config, pacs, study_uid)
    _note(config, Retrieval(study_uid, pacs.ae_title, listed))
    sent: int | None = None
    try:
        outcome = _move(config, pacs, study)
        sent = None if outcome.is_partial else outcome.sent
    finally:  # whatever happened, no more is to be expected of it
        _note(config, Retrieval(study_uid, pacs.ae_title, listed, ended=True, sent=sent))
    click.echo(f"{pacs.ae_title}: {outcome}")
    expected = study.NumberOfStudyRelatedInstances or before + outcome.sent
    arrived = _wait_for(config, study_uid, expected)
    click.echo(f"arrived: {arrived} of {expected} instances of study {study_uid}")
    if not arrived:
        where = f"{config.dicom.ae_title} at this host, port {config.dicom.port}"
        click.echo(
            f"Is `safelight serve` running, and does {pacs.ae_title} reach {where}?", err=True
        )
    return not outcome.is_partial and arrived >= expected


def _listed(config: Config, pacs: PacsSettings, study_uid: str) -> dict[str, ListedSeries]:
    """What the PACS says that the study has: its series, and their instances where it lists them.

    It is evidence and no condition: a PACS that answers neither still sends.
    """
    calling_ae = config.dicom.ae_title
    with suppress(QueryError):
        series = find_series(pacs, study_uid, calling_ae=calling_ae)
        return {one.SeriesInstanceUID: _instances(pacs, one, calling_ae) for one in series}
    return {}


def _instances(pacs: PacsSettings, series: SeriesMatch, calling_ae: str) -> ListedSeries:
    count, uids = series.NumberOfSeriesRelatedInstances, frozenset[str]()
    with suppress(QueryError):
        uids = find_instances(
            pacs, series.StudyInstanceUID, series.SeriesInstanceUID, calling_ae=calling_ae
        )
    return ListedSeries(count, uids)


def _note(config: Config, retrieval: Retrieval) -> None:
    """Leave the evidence in the spool; where that cannot be, retrieve all the same."""
    try:
        Retrievals(config.storage.spool).note(retrieval)
    except OSError as error:
        click.echo(f"evidence of completeness not kept: {error.strerror}", err=True)


def _move(config: Config, pacs: PacsSettings, study: StudyMatch) -> MoveOutcome:
    with progress_bar() as progress:
        task = progress.add_task("moving", total=study.NumberOfStudyRelatedInstances)

        def show(so_far: MoveProgress) -> None:
            done = sum(n or 0 for n in (so_far.completed, so_far.failed, so_far.warnings))
            progress.update(task, completed=done)
            if so_far.remaining is not None:
                progress.update(task, total=done + so_far.remaining)

        return move_study(
            pacs,
            study.StudyInstanceUID,
            destination_ae=config.dicom.ae_title,
            destination_host=socket.gethostname(),
            destination_port=config.dicom.port,
            calling_ae=config.dicom.ae_title,
            on_progress=show,
        )


def _wait_for(config: Config, study_uid: str, expected: int) -> int:
    """Wait until the ledger has `expected` instances, or nothing came for a while."""
    arrived = arrived_instances(config, study_uid)
    deadline = time.monotonic() + _ARRIVAL_SECONDS
    while arrived < expected and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        now = arrived_instances(config, study_uid)
        if now > arrived:
            deadline = time.monotonic() + _ARRIVAL_SECONDS
        arrived = now
    return arrived
