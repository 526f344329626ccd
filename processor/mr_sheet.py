"""The sheet MR_Cleaned of a workbook: the rows of its MR series, normalised."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from processor.cells import Row
from processor.mr_clean import clean_rows, is_mr
from processor.mr_clean.config import MrConfig
from processor.tables import Tables

TITLE = "MR_Cleaned"
_NAMES = (
    *("SeriesFolder", "FileName", "PatientID", "AccessionNumber", "StudyInstanceUID"),
    *("SeriesInstanceUID", "SeriesNumber", "SeriesDescription", "ProtocolName"),
)


@dataclass(frozen=True)
class CleanedTable:
    """The MR series of DICOM_Metadata, one row each; made anew whenever it is iterated."""

    rows: Iterable[Row]
    config: MrConfig

    def __iter__(self) -> Iterator[Row]:
        """Each row: what names the series, then `processor.mr_clean.COLUMNS`."""
        for row, cleaned in clean_rows(self._series(), self.config):
            told = {name: None if value == "" else value for name, value in cleaned.items()}
            yield {**{name: row.get(name) for name in _NAMES}, **told}

    def has_any(self) -> bool:
        """Whether there is an MR series."""
        return next(self._series(), None) is not None

    def _series(self) -> Iterator[Row]:
        """The first row of each MR series; a template may ask for one of each instance."""
        mr = (row for row in self.rows if is_mr(row))
        for _, rows in groupby(
            mr, lambda row: (row.get("SeriesInstanceUID"), row.get("SeriesFolder"))
        ):
            yield next(rows)


def with_cleaned(tables: Tables, config: MrConfig) -> Tables:
    """Some tables, and that of their MR series if there are any."""
    cleaned = CleanedTable(tables["DICOM_Metadata"], config)
    return {**tables, TITLE: cleaned} if cleaned.has_any() else tables
