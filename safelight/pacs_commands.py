"""The commands that ask a PACS, and what they print."""

import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Literal, TypedDict

import click
from rich.console import Console
from rich.table import Table

from query.client import echo as verify
from query.errors import InvalidKey
from query.keys import DateRange, StudyCriteria, Wildcard
from query.matches import StudyMatch
from query.settings import PacsSettings
from safelight.audit_deeds import record_call, who_calls
from safelight.config import Config
from safelight.expecting import Source, source_of
from safelight.found import Found, write_found
from web_status.audit_events import Deed

Level = Literal["study", "series", "image"]


@dataclass(frozen=True)
class Output:
    """How ``safelight find`` prints: a table, unless one of these is asked for."""

    as_json: bool = False
    csv: Path | None = None


class Asked(TypedDict):
    """The criteria of ``safelight find``."""

    accession: str | None
    patient: str | None
    name: str | None
    study_date: str | None
    modality: str | None
    description: str | None


def echo(config: Config, name: str | None) -> None:
    """Say whether a PACS answers."""
    pacs = config.pacs_named(name)
    started = time.monotonic()
    verify(pacs, calling_ae=config.dicom.ae_title)
    took = (time.monotonic() - started) * 1000
    click.echo(f"{pacs.ae_title} @ {pacs.host}:{pacs.port} answers ({took:.0f} ms)")


def find(config: Config, asked: Asked, *, pacs: str | None, level: Level, output: Output) -> None:
    """Print the studies that a PACS has, with their series and instances down to `level`."""
    settings = config.pacs_named(pacs)
    calling_ae = config.dicom.ae_title
    source = source_of(settings.retrieve)
    record_call(config, Deed("PACS searched", who_calls(), peer=settings.ae_title))
    matches = source.find_studies(settings, _criteria(asked), calling_ae=calling_ae)
    found = [_found(source, settings, study, calling_ae, level=level) for study in matches.studies]
    if output.as_json:
        click.echo(json.dumps([_document(one) for one in found], indent=2, ensure_ascii=False))
    elif output.csv is not None:
        write_found(output.csv, found)
    else:
        Console().print(_found_table(found))
    more = f"; there are more than {settings.max_results}" if matches.truncated else ""
    told = f"{len(found)} studies in {settings.ae_title}{more}"
    click.echo(told, err=output.as_json)


def _found(
    source: Source, pacs: PacsSettings, study: StudyMatch, calling_ae: str, *, level: Level
) -> Found:
    if level == "study":
        return Found(study)
    uid = study.StudyInstanceUID
    series = source.find_series(pacs, uid, calling_ae=calling_ae)
    if level == "series":
        return Found(study, dict.fromkeys(series, ()))
    instances = partial(source.find_instances, pacs, uid, calling_ae=calling_ae)
    return Found(study, {one: instances(one.SeriesInstanceUID) for one in series})


def _document(found: Found) -> dict[str, object]:
    series = [
        {
            **dataclasses.asdict(one),
            "instances": [dataclasses.asdict(instance) for instance in instances],
        }
        for one, instances in found.series.items()
    ]
    return {**dataclasses.asdict(found.study), "series": series}


def _criteria(asked: Asked) -> StudyCriteria:
    return StudyCriteria(
        accession_number=asked["accession"],
        patient_id=asked["patient"],
        patient_name=_pattern(asked["name"]),
        study_date=_study_date(asked["study_date"]),
        modality=asked["modality"],
        description=_pattern(asked["description"]),
    )


def _pattern(text: str | None) -> Wildcard | None:
    return Wildcard(text) if text else None


def _study_date(text: str | None) -> date | DateRange | None:
    """A day as 20260131, or a range with a hyphen whose ends may be left open."""
    if text is None:
        return None
    first, hyphen, last = text.partition("-")
    if not hyphen:
        return _day(first)
    return DateRange(_day(first), _day(last))


def _day(text: str) -> date | None:
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y%m%d").date()  # noqa: DTZ007 - a DICOM date has no zone
    except ValueError as error:
        raise InvalidKey("--date: expected days as 20260131 or 20260101-20260131") from error


def _found_table(found: Sequence[Found]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("accession", "patient", "date", "modalities", "description", "series", "inst."):
        table.add_column(heading)
    for one in found:
        study = one.study
        table.add_row(
            study.AccessionNumber,
            study.PatientID,
            study.StudyDate,
            ", ".join(study.ModalitiesInStudy),
            study.StudyDescription,
            _count(study.NumberOfStudyRelatedSeries),
            _count(study.NumberOfStudyRelatedInstances),
        )
        for series, instances in one.series.items():
            name = f"  {_count(series.SeriesNumber)} {series.SeriesDescription}"
            count = _count(series.NumberOfSeriesRelatedInstances)
            table.add_row("", "", "", series.Modality, name, "", count)
            for instance in instances:
                table.add_row("", "", "", "", f"    {instance.SOPInstanceUID}", "", "")
    return table


def _count(number: int | None) -> str:
    return "?" if number is None else str(number)
