"""Hides who the patients are in what a page is made of. Pure.

Names and patient IDs are replaced. In free text, which may repeat them, so are the words of the
names, the IDs, and what rules read in elements about people. Not hidden: accession numbers, dates,
UIDs, what people called their retrieve lists, and what is burned into the pixels of a picture.
"""

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, TypeVar

from ledger.retrieve_records import RetrievedSeries
from ledger.rows import JobRow, OutputRow, SeriesRow
from web_status.details import Table
from web_status.rule_words import ShownRule
from web_status.views import Fragment, View

_Value = TypeVar("_Value")

HIDDEN = "(hidden)"

NAMELESS_KINDS = frozenset({"nifti", "npz", "bval", "bvec", "preview"})
"""Kinds of outputs that hold no text of a header. Any other may name the patient."""

_FREE_TEXT = frozenset(
    {"SeriesDescription", "StudyDescription", "evidence", "summary", "error", "what", "reason"}
    | {"text"}
)
_LOOKED_UP = frozenset({"verdict"})  # templates look these up; they are words of ours
_PEOPLE = r"\w*(?:Patient|Person|Physician|Operator|Responsible|BirthDate|Address|Telephone)\w*"
_NAME_OF_PEOPLE = re.compile(rf"\b{_PEOPLE}")
_ABOUT_PEOPLE = re.compile(rf"\b({_PEOPLE}) = .*", re.DOTALL)
_SEPARATORS = re.compile(r"[\s^=,]+")


def veil(view: View) -> View:
    """The same page without names; a part that knows no patient is cleared of all on the page."""
    everybody = frozenset(name for part in view.fragments for name in _names(part.values))
    return replace(
        view,
        fragments=tuple(
            _veiled(part, frozenset(_names(part.values)) or everybody) for part in view.fragments
        ),
    )


def without_names(value: _Value) -> _Value:
    """Records, in tuples and mappings, without the names of the patients that are in them."""
    hidden: _Value = _Hiding(frozenset(_names(value))).inside(value)
    return hidden


def nameless(output: OutputRow) -> str:
    """What an output is called where names are hidden: its file name may hold one.

    >>> nameless(OutputRow(7, 1, "convert", "DOE/007_JANE.nii.gz", "nifti", 1, ""))
    'nifti-7.nii.gz'
    """
    suffixes = PurePosixPath(output.path).suffixes[-2:]
    ours = [suffix for suffix in suffixes if suffix in (".nii", ".gz", ".npz", ".png", ".json")]
    return f"{output.kind}-{output.id}{''.join(ours)}"


def _veiled(fragment: Fragment, names: frozenset[str]) -> Fragment:
    hide = _Hiding(names)
    values = {key: hide.inside(value) for key, value in fragment.values.items()}
    return replace(fragment, values={**values, "veiled": True, "nameless_kinds": NAMELESS_KINDS})


class _Hiding:
    """Replaces `names` wherever free text is."""

    def __init__(self, names: Iterable[str]) -> None:
        words = sorted(set(names), key=len, reverse=True)
        pattern = f"(?:{'|'.join(map(_whole, words))})+"
        self._words = re.compile(pattern, re.IGNORECASE) if words else None

    def inside(self, value: Any) -> Any:
        """A value of a fragment, with what is in it."""
        match value:
            case Mapping():
                return {key: self._item(key, each) for key, each in value.items()}
            case tuple() | list():
                return type(value)(map(self._member, value))
            case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
                return self._record(value)
        return value

    def _member(self, value: Any) -> Any:
        return self._text(value) if isinstance(value, str) else self.inside(value)

    def _record(self, record: Any) -> Any:
        match record:
            case JobRow(folder=str()):  # named after the series, as no file that is served
                return self._record(replace(record, folder=None))
            case OutputRow():
                return replace(record, path=nameless(record))
            case RetrievedSeries():  # whose patient is not known here, so the text cannot be judged
                return replace(record, SeriesDescription=record.SeriesDescription and HIDDEN)
            case ShownRule():
                return record.hiding(_is_about_people, HIDDEN)
            case Table(headings, rows):
                return Table(headings, tuple(tuple(map(self._text, row)) for row in rows))
        return replace(record, **{name: self._field(name, x) for name, x in _fields(record)})

    def _field(self, name: str, value: Any) -> Any:
        if name in ("PatientName", "PatientID"):
            return HIDDEN
        if isinstance(value, str):
            return self._text(value) if name in _FREE_TEXT else value
        return self.inside(value)

    def _item(self, key: object, value: Any) -> Any:
        if isinstance(value, str):
            return value if key in _LOOKED_UP else self._text(value)
        return self.inside(value)

    def _text(self, text: str) -> str:
        text = _ABOUT_PEOPLE.sub(rf"\1 = {HIDDEN}", text)
        return self._words.sub(HIDDEN, text) if self._words else text


def _names(value: Any) -> Iterator[str]:
    """The words of every name and the IDs of every patient in a value."""
    if isinstance(value, SeriesRow):
        yield from (word for word in _SEPARATORS.split(value.PatientName) if _is_telling(word))
        yield from (text for text in (value.PatientName, value.PatientID) if len(text) > 2)
    elif dataclasses.is_dataclass(value):
        for _, each in _fields(value):
            yield from _names(each)
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _names(each)
    elif isinstance(value, tuple | list):
        for each in value:
            yield from _names(each)


def _is_about_people(name: str) -> bool:
    return _NAME_OF_PEOPLE.search(name) is not None


def _fields(record: Any) -> Iterator[tuple[str, Any]]:
    return ((field.name, getattr(record, field.name)) for field in dataclasses.fields(record))


def _is_telling(word: str) -> bool:
    """Whether a word is more than an initial; one character may be all of a Chinese name."""
    return len(word) > 1 or (bool(word) and not word.isascii())


def _whole(word: str) -> str:
    """A pattern of a word: in letters of ours as a whole word, else anywhere."""
    escaped = re.escape(word)
    return rf"(?<![^\W_]){escaped}(?![^\W_])" if word.isascii() else escaped
