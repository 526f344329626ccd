"""Names of folders and files made from headers: safe on every filesystem, telling and short."""

import re

from pydicom.dataset import Dataset

from processor.headers import integer, text

_LONGEST = 64


def safe_name(value: str) -> str:
    """A file name from any text: letters, digits, dot, dash and underscore.

    >>> safe_name("../T2 TSE (sag)")
    'T2_TSE_sag'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", value).strip("._-")[:_LONGEST].rstrip("._-")


def study_folder(header: Dataset, study_uid: str) -> str:
    """The folder of a study: its accession number, else its UID."""
    return safe_name(text(header, "AccessionNumber")) or study_uid


def series_stem(header: Dataset) -> str:
    """What the files of a series are called: its number and description, as 007_T2_TSE_sag."""
    description = safe_name(text(header, "SeriesDescription"))
    fallback = safe_name(text(header, "Modality")) or "series"
    return f"{max(0, integer(header, 'SeriesNumber')):03d}_{description or fallback}"
