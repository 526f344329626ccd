"""What later conditions of a rule can see of what processors found, under which names.

A name that is also a column of the workbook is the column's.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Protocol

Values = tuple[str | float, ...]

MR_FINDINGS = ("sequenceClass", "sequenceFamily", "isFatSuppressed", "isContrastEnhanced")
"""The columns of MR_Cleaned that the metadata processor tells of a series by itself."""

_DETAILS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "qc": {
            "Low_quality": "low_quality",
            "Low_quality_reason": "low_quality_reason",
            "low_quality_ratio": "low_quality_ratio",
        },
        "convert": {"Engine": "engine"},
        "metadata": {name: name for name in MR_FINDINGS},
    }
)
"""Processor to the names of its findings, with the key of its details each stands for."""


class Result(Protocol):
    """What is needed of a step's result, be it fresh or read from the ledger."""

    @property
    def processor(self) -> str:
        """Whose result it is."""

    @property
    def state(self) -> str:
        """``done``, ``refused`` or ``failed``."""

    @property
    def details(self) -> Mapping[str, object]:
        """What its summary rests on."""


def names_of(processor: str) -> tuple[str, ...]:
    """The names of what a processor finds; ``<processor>_state`` is one of every processor.

    >>> names_of("preview")
    ('preview_state',)
    """
    return (f"{processor}_state", *_DETAILS.get(processor, {}))


def findings_of(results: Iterable[Result]) -> dict[str, Values]:
    """What steps found, by its name; of one that failed there is only its state."""
    found: dict[str, Values] = {}
    for result in results:
        found[f"{result.processor}_state"] = (result.state,)
        for name, key in _DETAILS.get(result.processor, {}).items():
            values = _values(result.details.get(key))
            if values:
                found[name] = values
    return found


def _values(value: object) -> Values:
    if isinstance(value, list | tuple):
        return tuple(part for item in value for part in _values(item))
    if isinstance(value, int | float):
        return (float(value),)
    return (value,) if isinstance(value, str) and value else ()
