"""What of an expected study lies in the spool; asked again and again while it arrives."""

import os
from collections.abc import Iterable
from pathlib import Path

from listener.spool import SeriesKey
from safelight.expecting import ExpectedSeries, ExpectedStudy

_SUFFIX = ".dcm"


class Held:
    """The instances of a spool, by their names.

    Parameters
    ----------
    root
        The spool's folder.
    """

    def __init__(self, root: Path) -> None:
        self._instances = root / "instances"

    def missing(self, series: Iterable[ExpectedSeries]) -> tuple[str, ...]:
        """The SOP Instance UIDs that are listed for some series and are not here, sorted."""
        return tuple(uid for one in series for uid in sorted(self._listed(one) - self._here(one)))

    def received(self, series: ExpectedSeries) -> int:
        """How many instances of a series are here; where it is listed, of those listed."""
        here, listed = self._here(series), self._listed(series)
        return len(here & listed) if listed else len(here)

    def is_here(self, series: ExpectedSeries) -> bool:
        """Whether all of a series is here, by its list, else by its count."""
        if self._listed(series):
            return not self.missing([series])
        counted = series.match.NumberOfSeriesRelatedInstances
        return counted is not None and self.received(series) >= counted

    def is_whole(self, study: ExpectedStudy) -> bool:
        """Whether all that is wanted of a study is here; never where its series are not known."""
        return bool(study.series) and all(self.is_here(one) for one in study.wanted)

    def count(self, study_uid: str) -> int:
        """How many instances of a study are here, whatever the PACS lists of it."""
        folder = self._instances / study_uid
        keys = [SeriesKey(folder.name, name) for name in _names(folder)]
        return sum(len(self._files(key)) for key in keys)

    def _listed(self, series: ExpectedSeries) -> set[str]:
        return {one.SOPInstanceUID for one in series.instances}

    def _here(self, series: ExpectedSeries) -> set[str]:
        match = series.match
        return self._files(SeriesKey(match.StudyInstanceUID, match.SeriesInstanceUID))

    def _files(self, key: SeriesKey) -> set[str]:
        names = _names(self._instances / key.StudyInstanceUID / key.SeriesInstanceUID)
        return {name.removesuffix(_SUFFIX) for name in names if name.endswith(_SUFFIX)}


def _names(folder: Path) -> list[str]:
    try:
        with os.scandir(folder) as entries:
            return [entry.name for entry in entries]
    except (FileNotFoundError, NotADirectoryError):
        return []
