r"""Makes the keys of a query from what a person asked for; `query.identifiers` puts them together.

DICOM has no escape character: ``*`` and ``?`` in a key are always wildcards (PS3.4 C.2.2.2.4)
and ``\`` always separates values (PS3.5 6.4). A key that holds one of them literally is sent
with ``?`` in its place, so that the PACS answers too much rather than too little, and the answers
are filtered again here with the same key. Text outside ASCII is sent as ``*`` for the same reason:
archives differ in how they compare it.
"""

import fnmatch
import re
from dataclasses import dataclass
from datetime import date
from types import MappingProxyType

from query.errors import InvalidKey

_UID = re.compile(r"[0-9]+(\.[0-9]+)*")
_CODE = re.compile(r"[A-Z0-9_]{1,16}")
# PS3.5 6.2: SH, LO, PN (of each of three groups), LO
_MAX_LENGTH = MappingProxyType(
    {"AccessionNumber": 16, "PatientID": 64, "PatientName": 194, "StudyDescription": 64}
)


@dataclass(frozen=True)
class Wildcard:
    """A text in which ``*`` stands for any characters and ``?`` for one.

    Examples
    --------
    >>> StudyCriteria(description=Wildcard("*thorax*")).description
    Wildcard(pattern='*thorax*')
    """

    pattern: str


@dataclass(frozen=True)
class DateRange:
    """Days from `first` to `last`, both included; None leaves that end open.

    Raises
    ------
    InvalidKey
        If both ends are open or the last day is before the first.
    """

    first: date | None = None
    last: date | None = None

    def __post_init__(self) -> None:
        if self.first is None and self.last is None:
            raise InvalidKey("study date: expected a first day, a last day or both")
        if self.first and self.last and self.last < self.first:
            raise InvalidKey(f"study date: {self.last} is before {self.first}")


@dataclass(frozen=True)
class StudyCriteria:
    """What to look for among studies: every criterion given must be met.

    Parameters
    ----------
    accession_number, patient_id, patient_name, description : str or Wildcard or None
        Taken literally unless a `Wildcard`. Archives differ in how they compare names that are
        not ASCII: ask for those by patient ID or accession number.
    study_date : date or DateRange or None
        The day of the study.
    modality : str or None
        A modality in the study, such as ``CT``.

    Raises
    ------
    InvalidKey
        If no criterion is given (that asks for the whole archive), or one cannot be sent. The
        message names the key, never its value: it may identify a patient.
    """

    accession_number: str | Wildcard | None = None
    patient_id: str | Wildcard | None = None
    patient_name: str | Wildcard | None = None
    study_date: date | DateRange | None = None
    modality: str | None = None
    description: str | Wildcard | None = None

    def __post_init__(self) -> None:
        given = (self.study_date, self.modality, *self.texts().values())
        if all(value is None for value in given):
            raise InvalidKey("no criterion given: that would ask for every study of the archive")
        for keyword, value in self.texts().items():
            _check_text(keyword, value)
        if self.modality is not None:
            check_modality(self.modality)

    def texts(self) -> dict[str, str | Wildcard | None]:
        """Return the criteria that are text, by DICOM keyword."""
        return {
            "AccessionNumber": self.accession_number,
            "PatientID": self.patient_id,
            "PatientName": self.patient_name,
            "StudyDescription": self.description,
        }


def _check_text(keyword: str, value: str | Wildcard | None) -> None:
    if value is None:
        return
    text = value.pattern if isinstance(value, Wildcard) else value
    if not text.strip(" *"):
        raise InvalidKey(f"{keyword}: expected some text; leave it out to match anything")
    if not text.isprintable():
        raise InvalidKey(f"{keyword}: contains a control character")
    if isinstance(value, Wildcard):
        if "\\" in text:
            raise InvalidKey(f"{keyword}: a backslash cannot stand in a pattern; use ? for it")
    elif len(text.strip()) > _MAX_LENGTH[keyword]:
        raise InvalidKey(f"{keyword}: longer than the {_MAX_LENGTH[keyword]} characters it can be")


def is_uid(uid: str) -> bool:
    """Tell whether a text is one UID: 1 to 64 digits and dots (PS3.5 9.1).

    Leading zeros are let pass: instances with such UIDs exist.

    Examples
    --------
    >>> is_uid("1.2.840.10008"), is_uid("1.2.*"), is_uid("")
    (True, False, False)
    """
    return len(uid) <= 64 and _UID.fullmatch(uid) is not None


def check_uid(uid: str) -> str:
    """Return a UID without wildcards or lists, or raise.

    Raises
    ------
    InvalidKey
        If it is not 1 to 64 digits and dots (PS3.5 9.1).

    Examples
    --------
    >>> check_uid("1.2.840.10008")
    '1.2.840.10008'
    """
    if not is_uid(uid):
        raise InvalidKey("UID: expected up to 64 digits and dots, no wildcards, one UID")
    return uid


def check_modality(modality: str) -> str:
    """Return a modality without wildcards or lists, or raise.

    Raises
    ------
    InvalidKey
        If it is not a code string such as ``CT`` (PS3.5 6.2).

    Examples
    --------
    >>> check_modality("CT")
    'CT'
    """
    if not _CODE.fullmatch(modality):
        raise InvalidKey(f"modality {modality!r}: expected capitals and digits such as CT or MR")
    return modality


def sent_key(value: str | Wildcard | None) -> str:
    r"""Return the text that goes into the identifier; it matches at least what `value` means.

    Examples
    --------
    >>> sent_key("A*1"), sent_key(Wildcard("A*1")), sent_key("a\\b"), sent_key(None)
    ('A?1', 'A*1', 'a?b', '')
    >>> sent_key("\u80f8\u90e8 CT")
    '*CT'
    """
    if value is None:
        return ""
    text = value.pattern if isinstance(value, Wildcard) else re.sub(r"[*?\\]", "?", value.strip())
    # With the spaces around: some archives drop what they cannot encode and trim the rest.
    return re.sub(r" *[^\x20-\x7e]+ *", "*", text)


def meets(value: str | Wildcard | None, text: str) -> bool:
    """Tell whether a text from the PACS is what was asked for; case and padding do not count.

    Examples
    --------
    >>> meets("A*1", "A*1"), meets("A*1", "AB1"), meets(Wildcard("a*1"), "AB1"), meets(None, "x")
    (True, False, True, True)
    """
    if value is None:
        return True
    if isinstance(value, Wildcard):
        pattern = value.pattern.casefold().replace("[", "[[]")
        return fnmatch.fnmatchcase(text.strip().casefold(), pattern)
    return text.strip().casefold() == value.strip().casefold()


def date_key(value: date | DateRange | None) -> str:
    """Return a date or a range as DICOM writes it (PS3.4 C.2.2.2.5).

    Examples
    --------
    >>> date_key(date(2026, 3, 1)), date_key(DateRange(date(2026, 3, 1))), date_key(None)
    ('20260301', '20260301-', '')
    """
    if value is None:
        return ""
    if isinstance(value, DateRange):
        return f"{_day(value.first)}-{_day(value.last)}"
    return _day(value)


def _day(day: date | None) -> str:
    return f"{day.year:04d}{day.month:02d}{day.day:02d}" if day else ""
