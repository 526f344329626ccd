"""What people ask of a PACS on the page, and what it answers."""

from dataclasses import dataclass

ACCESSIONS_MAX = 5000


@dataclass(frozen=True)
class Wanted:
    """A retrieve that a person asks for: the text as it was typed, and whom to ask.

    Attributes
    ----------
    accessions
        Accession numbers between commas, semicolons, spaces or line ends.
    pacs, method
        Empty for the first PACS, and for how it is asked otherwise.
    modalities
        Series of others are left out; empty for none. Between commas or spaces.
    least
        Series with fewer instances are left out; empty for none.
    no_derived
        Whether derived series and scouts are left out.
    output_format, run
        What conversion writes, and which processors run; empty for what the rules say.
    """

    accessions: str
    name: str = ""
    pacs: str = ""
    method: str = ""
    modalities: str = ""
    least: str = ""
    no_derived: bool = False
    output_format: str = ""
    run: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sought:
    """Studies that a person looks for in a PACS; what is empty does not matter.

    Attributes
    ----------
    patient_name, description
        ``*`` stands for any characters, ``?`` for one.
    first_day, last_day
        As ``2026-01-31``; either may be open.
    """

    pacs: str = ""
    accession: str = ""
    patient_id: str = ""
    patient_name: str = ""
    first_day: str = ""
    last_day: str = ""
    modality: str = ""
    description: str = ""


@dataclass(frozen=True)
class FoundStudy:
    """A study that a PACS has; the attributes are DICOM keywords."""

    AccessionNumber: str
    PatientID: str
    PatientName: str
    StudyDate: str
    ModalitiesInStudy: str
    StudyDescription: str
    NumberOfStudyRelatedSeries: int | None
    NumberOfStudyRelatedInstances: int | None


@dataclass(frozen=True)
class FoundStudies:
    """The answer of a PACS; `more` says that it has more than it was asked for."""

    studies: tuple[FoundStudy, ...]
    more: bool


@dataclass(frozen=True)
class PlannedSeries:
    """What a retrieve would do with one series; where the PACS has no study, only `then`.

    Attributes
    ----------
    instances, here
        How many the PACS says it has, ``?`` where it does not say, and how many are here.
    then
        ``fetched``, ``here already``, or why not.
    """

    AccessionNumber: str
    SeriesNumber: str
    Modality: str
    SeriesDescription: str
    instances: str
    here: str
    then: str
