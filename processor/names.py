"""Names of folders and files made from headers: safe on every filesystem, telling and short."""

from pydicom.dataset import Dataset

from processor.headers import integer, text, values
from rules.destination import Destination, safe_name


def study_folder(header: Dataset, study_uid: str) -> str:
    """The folder of a study: its accession number, else its UID."""
    return study_folder_name(text(header, "AccessionNumber"), study_uid)


def study_folder_name(accession_number: str, study_uid: str) -> str:
    """The folder of a study of which these are known."""
    return safe_name(accession_number) or study_uid


def series_stem(header: Dataset) -> str:
    """What the files of a series are called: its number and description, as 007_T2_TSE_sag."""
    description = safe_name(text(header, "SeriesDescription"))
    fallback = safe_name(text(header, "Modality")) or "series"
    return f"{max(0, integer(header, 'SeriesNumber')):03d}_{description or fallback}"


def named_by(template: Destination, header: Dataset) -> str:
    """What the files of a series are called by a template of keywords."""
    known = {
        element: tuple(
            value if isinstance(value, str) else _told(value) for value in values(header, element)
        )
        for element in template.elements
    }
    return template.folder(known)


def _told(value: object) -> str | float:
    try:
        return float(str(value))
    except ValueError:
        return str(value)
