"""What was written, read back and searched for what identified the patient."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from processor.deid.profile import action_of, attribute_of

SHORTEST = 4
"""Shorter values than this stand in many texts by chance, and are not searched for."""

_IDENTIFIER = re.compile(r"(ID|IDs|Number|Identifier|Address|Numbers)$")
_TEXTS = frozenset({"LO", "SH", "ST", "LT", "UT", "UC", "PN", "AE", "UR"})
_NUMBERS = frozenset({"IS", "DS"})
_NUMBER = re.compile(r"[0-9.+\-eE ]*")
_BYTES = frozenset({"OB", "UN", "OW"})
_PIXELS = 0x7FE00010
_NAMES_OF_THINGS = frozenset({"Manufacturer", "ManufacturerModelName", "CodeMeaning"})
_DUMMY_DATE = "19000101"


@dataclass(frozen=True)
class Traces:
    """What must not be found again: of one dataset, before it was de-identified.

    Attributes
    ----------
    values : frozenset of str
        Names, IDs and dates that were to go, in lower case.
    words : frozenset of str
        The words of the names.
    uids : frozenset of str
        The UIDs that were to be replaced.
    dates : mapping of path to value
        The dates that were to be shifted or removed, by where they stood.
    """

    values: frozenset[str]
    words: frozenset[str]
    uids: frozenset[str]
    dates: dict[tuple[int, ...], str]


def traces_of(header: Dataset, options: frozenset[str]) -> Traces:
    """What identifies the patient in a dataset, by the actions of its elements."""
    found: set[str] = set()
    words: set[str] = set()
    uids: set[str] = set()
    dates: dict[tuple[int, ...], str] = {}
    for path, element in _walk(header):
        if element.tag.is_private or element.VR in _BYTES:
            continue
        action = action_of(element, options)
        texts = _texts(element)
        if action == "K":
            continue
        if element.VR == "PN":
            found.update(texts)
            words.update(word for one in texts for word in re.findall(r"[^\W\d_]+", one))
        elif element.VR == "UI" and action == "U":
            uids.update(one for one in texts if not one.startswith("1.2.840.10008."))
        elif element.VR in ("DA", "DT"):
            dates[path] = "\\".join(texts)
            found.update(one[:8] for one in texts if one[:8] != _DUMMY_DATE)
        elif element.VR in _TEXTS and _is_identifier(element):
            found.update(texts)
    return Traces(
        frozenset(one.lower() for one in found if len(one) >= SHORTEST),
        frozenset(word.lower() for word in words if len(word) >= SHORTEST),
        frozenset(uids),
        dates,
    )


def remains(header: Dataset, traces: Traces) -> str:
    """The name of the first element that still tells who the patient is; "" where none does."""
    meta = getattr(header, "file_meta", None) or Dataset()
    for path, element in (*_walk(meta), *_walk(header)):
        if _tells(path, element, traces):
            return element.keyword or str(element.tag)
    return ""


def _tells(path: tuple[int, ...], element: DataElement, traces: Traces) -> bool:
    if element.tag == _PIXELS:
        return False
    if element.VR in _BYTES:
        content = bytes(element.value or b"").lower()
        return any(one.encode() in content for one in (*traces.values, *traces.uids))
    texts = _texts(element)
    if element.VR == "UI":
        return any(one in traces.uids for one in texts)
    if element.VR in ("DA", "DT"):
        is_dummy = all(one.startswith(_DUMMY_DATE) for one in texts)
        return not is_dummy and traces.dates.get(path) == "\\".join(texts)
    if element.VR in _NUMBERS:
        texts = [one for one in texts if not _NUMBER.fullmatch(one)]
    elif element.VR not in _TEXTS:
        return False
    return any(_holds(one.lower(), element, traces) for one in texts)


def _holds(text: str, element: DataElement, traces: Traces) -> bool:
    """Whether a text has a value in it that is not part of a longer word or number."""
    if any(one in text and _stands_alone(one, text) for one in (*traces.values, *traces.uids)):
        return True
    words = set(re.findall(r"[^\W\d_]+", text))
    return element.keyword not in _NAMES_OF_THINGS and bool(words & traces.words)


def _stands_alone(value: str, text: str) -> bool:
    return re.search(rf"(?<![\w.]){re.escape(value)}(?![\w]|\.\d)", text) is not None


def _is_identifier(element: DataElement) -> bool:
    return attribute_of(element.tag) is not None and bool(_IDENTIFIER.search(element.keyword))


def _walk(
    dataset: Dataset, above: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[int, ...], DataElement]]:
    for element in dataset:
        path = (*above, int(element.tag))
        if element.VR == "SQ":
            for number, item in enumerate(element.value):
                yield from _walk(item, (*path, number))
        else:
            yield path, element


def _texts(element: DataElement) -> list[str]:
    value = element.value
    several = value if isinstance(value, (MultiValue, list)) else [value]
    return [str(one).strip() for one in several if one not in (None, "")]
