"""The JSON sidecar beside a NIfTI, in BIDS terms where they exist. It names no patient.

Times are in seconds, where DICOM has milliseconds. What differs between the volumes of a file is a
list, one value for each; what differs within a volume is left out. Of text only what the scanner
sets, and the series description and protocol name: people write names into comments.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset

from processor.headers import tag_of
from processor.sidecar_facts import FACTS, Fact

_Element = DataElement | RawDataElement | None
_Key = str | int
_Rows = Mapping[_Key, Sequence[_Element]]
"""For each element the values of a volume's headers."""


def sidecar(volumes: Sequence[Sequence[Dataset]], ours: Mapping[str, object]) -> dict[str, object]:
    """The sidecar's content: acquisition facts from headers, then `ours`.

    Parameters
    ----------
    volumes : sequence of sequence of Dataset
        For each volume of the file the headers of its frames, functional groups resolved.

    >>> one, other = Dataset(), Dataset()
    >>> one.EchoTime, other.EchoTime = 30, 30
    >>> one.FlipAngle, other.FlipAngle = 3, 15
    >>> sidecar([[one], [other]], {})
    {'EchoTime': 0.03, 'FlipAngle': [3, 15]}
    """
    content: dict[str, object] = {}
    read = [_distinct(headers) for headers in volumes]
    columns = [_columns(headers) for headers in read]
    for name, fact in FACTS.items():
        told = [_within(fact, headers, rows) for headers, rows in zip(read, columns, strict=True)]
        content[name] = _between(told)
    return {name: value for name, value in content.items() if value is not None} | dict(ours)


def _distinct(headers: Sequence[Dataset]) -> Sequence[Dataset]:
    """Tiles of a mosaic share one header."""
    return tuple({id(header): header for header in headers}.values())


_KEYS = tuple(dict.fromkeys(chain.from_iterable(fact.keys for fact in FACTS.values())))
_TAGS = tuple(tag_of(key if isinstance(key, int) else tag_for_keyword(key) or 0) for key in _KEYS)


def _columns(headers: Sequence[Dataset]) -> _Rows:
    rows = [[elements.get(tag) for tag in _TAGS] for elements in map(_elements, headers)]
    return dict(zip(_KEYS, zip(*rows, strict=True), strict=True))


def _elements(header: Dataset) -> Mapping[int, DataElement | RawDataElement]:
    return dict(header.items())


def _within(fact: Fact, headers: Sequence[Dataset], rows: _Rows) -> object | None:
    """What a volume tells: one value, or None where its headers differ."""
    told = [fact.told(header) for header in _differing(fact, headers, rows)]
    if fact.choose is not None:
        known = [value for value in told if value is not None]
        return fact.choose(known) if known else None
    return told[0] if all(value == told[0] for value in told) else None


def _differing(fact: Fact, headers: Sequence[Dataset], rows: _Rows) -> Iterator[Dataset]:
    """One header for each state of the elements a fact is read from; most series have one."""
    columns = [rows[key] for key in fact.keys]
    if all(len(set(map(id, column))) == 1 for column in columns):
        yield headers[0]
        return
    states = {
        tuple(map(_state, state)): header for header, *state in zip(headers, *columns, strict=True)
    }
    yield from states.values()


def _state(element: _Element) -> object:
    return element.value if isinstance(element, RawDataElement) else id(element)


def _between(told: Sequence[object | None]) -> object | None:
    """What the file tells: the volumes' one value, or a list of each volume's."""
    if all(value == told[0] for value in told):
        return told[0]
    return None if any(value is None or isinstance(value, list) for value in told) else list(told)


_TECHNICAL = frozenset(
    {
        "BidsGuess",
        "CoilCombinationMethod",
        "CoilString",
        "ConversionSoftware",
        "ConversionSoftwareVersion",
        "ImageOrientationText",
        "ImageTypeText",
        "InternalPulseSequenceName",
        "MatrixCoilMode",
        "PartialFourierDirection",
        "PhaseEncodingAxis",
        "PhaseEncodingDirection",
        "PhaseEncodingDirectionDisplayed",
        "PhaseEncodingPolarityGE",
        "PulseSequenceDetails",
        "PulseSequenceType",
        "ReceiveCoilActiveElements",
        "SliceEncodingDirection",
    }
)
_PERSONAL = ("Patient", "Study", "Accession")


def without_people(content: Mapping[str, object]) -> dict[str, object]:
    """What of another program's sidecar names no person, place, date or device.

    >>> without_people({"EchoTime": 0.03, "InstitutionName": "St Elsewhere", "PatientWeight": 71})
    {'EchoTime': 0.03}
    """
    return {name: value for name, value in content.items() if _is_told(name, value)}


def _is_told(name: str, value: object) -> bool:
    if name in FACTS or name in _TECHNICAL:
        return True
    parts = value if isinstance(value, list) else [value]
    are_numbers = all(isinstance(part, (int, float)) for part in parts)
    return are_numbers and not name.startswith(_PERSONAL)


def write_sidecar(path: Path, content: Mapping[str, object]) -> None:
    """Write a sidecar as indented UTF-8 JSON."""
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
