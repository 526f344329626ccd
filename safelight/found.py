"""What ``safelight find`` found, and how it is written as CSV."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from processor.tables import inert
from query.matches import InstanceMatch, SeriesMatch, StudyMatch
from safelight.errors import ListError

_STUDY = tuple(one.name for one in fields(StudyMatch))
_SERIES = tuple(one.name for one in fields(SeriesMatch) if one.name not in _STUDY)
_INSTANCE = tuple(one.name for one in fields(InstanceMatch) if one.name not in _SERIES)


@dataclass(frozen=True)
class Found:
    """A study, with its series and their instances as far as they were asked for."""

    study: StudyMatch
    series: Mapping[SeriesMatch, Sequence[InstanceMatch]] = field(default_factory=dict)


def write_found(target: Path, found: Sequence[Found]) -> None:
    """Write a line for each study, series or instance, whichever is the lowest that was asked for.

    Raises
    ------
    ListError
        The file cannot be written.
    """
    try:
        # Excel takes a file without the mark for one in its own character set.
        with target.open("w", newline="", encoding="utf-8-sig") as file:
            writer = csv.writer(file)
            writer.writerow((*_STUDY, *_SERIES, *_INSTANCE))
            writer.writerows(map(inert, row) for one in found for row in _rows(one))
    except OSError as error:
        raise ListError(f"{target.name}: cannot be written: {error.strerror}") from error


def _rows(found: Found) -> Iterator[tuple[str | int, ...]]:
    study = _cells(found.study, _STUDY)
    if not found.series:
        yield study
    for series, instances in found.series.items():
        row = (*study, *_cells(series, _SERIES))
        if not instances:
            yield row
        for instance in instances:
            yield (*row, *_cells(instance, _INSTANCE))


def _cells(match: object, names: Sequence[str]) -> tuple[str | int, ...]:
    values = (getattr(match, name) for name in names)
    return tuple(
        "\\".join(value) if isinstance(value, tuple) else "" if value is None else value
        for value in values
    )
