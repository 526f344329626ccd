"""Asks PACSs on behalf of the page: finds studies, tries retrieves out, reads lists."""

import tempfile
from datetime import date
from pathlib import Path
from typing import Any

import tomlkit

from query.errors import InvalidKey
from query.keys import DateRange, StudyCriteria, Wildcard
from query.matches import StudyMatch
from safelight.config import Config
from safelight.expecting import source_of
from safelight.retrieve_list import read_list
from web_status.archive import FoundStudies, FoundStudy, Sought, Wanted

_RULES_NAME = "the page"
_DERIVED = {
    "any": [
        {"ImageType": {"contains": "DERIVED"}},
        {"SeriesDescription": {"regex": r"(?i)\b(mpr|mip|vrt?|scout|localizer)\b"}},
    ],
    "not": {"Modality": {"in": ["CR", "DX", "DR", "MG", "XA", "RF"]}},
}


def find(config: Config, sought: Sought) -> FoundStudies:
    """Ask a PACS for studies.

    Raises
    ------
    QueryError
        It does not answer, or what is sought cannot be asked for.
    ConfigError
        There is no such PACS.
    """
    pacs = config.pacs_named(sought.pacs or None)
    found = source_of(pacs.retrieve).find_studies(
        pacs, _criteria(sought), calling_ae=config.dicom.ae_title
    )
    return FoundStudies(tuple(map(_found, found.studies)), found.truncated)


def _found(study: StudyMatch) -> FoundStudy:
    return FoundStudy(
        study.AccessionNumber,
        study.PatientID,
        study.PatientName,
        study.StudyDate,
        ", ".join(study.ModalitiesInStudy),
        study.StudyDescription,
        study.NumberOfStudyRelatedSeries,
        study.NumberOfStudyRelatedInstances,
    )


def _criteria(sought: Sought) -> StudyCriteria:
    first, last = _day(sought.first_day), _day(sought.last_day)
    return StudyCriteria(
        accession_number=sought.accession or None,
        patient_id=sought.patient_id or None,
        patient_name=Wildcard(sought.patient_name) if sought.patient_name else None,
        study_date=DateRange(first, last) if first or last else None,
        modality=sought.modality.upper() or None,
        description=Wildcard(sought.description) if sought.description else None,
    )


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError:
        raise InvalidKey("study date: expected a day as 2026-01-31") from None


def numbers_of(name: str, content: bytes) -> tuple[str, ...]:
    """The accession numbers of a file that somebody gave.

    Raises
    ------
    ListError
        There are none in it, or it cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "list").with_suffix(Path(name).suffix.lower()[:10])
        path.write_bytes(content)
        return read_list(path)


def filter_rules(wanted: Wanted) -> tuple[tuple[str, str], ...]:
    """The options of the form as rules that leave series out; none where there are none.

    Raises
    ------
    ValueError
        The least number of instances is none.
    """
    modalities = wanted.modalities.upper().replace(",", " ").split()
    rules: list[dict[str, Any]] = []
    if modalities:
        match = {"not": {"Modality": {"in": modalities}}}
        rules.append(_rule("Modalities", match, f"not {' or '.join(modalities)}"))
    if wanted.least:
        least = _number(wanted.least)
        fewer = {"instances": {"max": least - 1}}
        rules.append(_rule("Least instances", fewer, f"fewer than {least} instances"))
    if wanted.no_derived:
        rules.append(_rule("No derived series", _DERIVED, "derived, or a scout"))
    return ((_RULES_NAME, tomlkit.dumps({"rule": rules})),) if rules else ()


def _rule(name: str, match: dict[str, Any], reason: str) -> dict[str, Any]:
    return {"name": name, "match": match, "then": {"drop": reason}}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and 0 < int(text) < 1_000_000):
        raise ValueError("expected a number of instances from 1")
    return int(text)
