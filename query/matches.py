"""Reads what a PACS answered; it neither asks nor filters."""

import re
import warnings
from dataclasses import dataclass, field

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset

# What resets a code extension in text: PS3.5 6.1.2.5.3. The backslash is not among them: in
# Japanese and Chinese sets it occurs inside a character.
_DELIMITERS = frozenset(b"\r\n\t\f^=")

# pydicom 3.0.2 leaves the designation ESC $ ) A of ISO 2022 IR 58 in the text it decodes.
_ESCAPE_SEQUENCE = re.compile(r"\x1b[\x20-\x2f]+[\x30-\x7e]")

# Labels under which archives return bytes of another set: none, ASCII, Latin-1.
_WEAK_LABELS = frozenset({"", "ISO_IR 6", "ISO_IR 100"})


@dataclass(frozen=True)
class StudyMatch:
    """One study a PACS holds.

    Attributes are DICOM keywords; an empty text or a None is a value the PACS did not give.
    What identifies a patient is left out of the representation.
    """

    StudyInstanceUID: str
    AccessionNumber: str = field(repr=False)
    StudyDate: str = field(repr=False)
    StudyTime: str = field(repr=False)
    StudyDescription: str = field(repr=False)
    ModalitiesInStudy: tuple[str, ...]
    PatientID: str = field(repr=False)
    PatientName: str = field(repr=False)
    PatientSex: str = field(repr=False)
    PatientBirthDate: str = field(repr=False)
    NumberOfStudyRelatedSeries: int | None
    NumberOfStudyRelatedInstances: int | None


@dataclass(frozen=True)
class SeriesMatch:
    """One series a PACS holds; see `StudyMatch`."""

    StudyInstanceUID: str
    SeriesInstanceUID: str
    SeriesNumber: int | None
    Modality: str
    SeriesDescription: str = field(repr=False)
    BodyPartExamined: str
    NumberOfSeriesRelatedInstances: int | None


@dataclass(frozen=True)
class InstanceMatch:
    """One instance a PACS holds; see `StudyMatch`. Only its UID can be relied on to be there."""

    SeriesInstanceUID: str
    SOPInstanceUID: str
    SOPClassUID: str
    InstanceNumber: int | None
    ImageType: tuple[str, ...]


def study_match(identifier: Dataset, fallback_charset: str = "") -> StudyMatch:
    """Return the study an identifier describes.

    Parameters
    ----------
    identifier : Dataset
        The identifier of a pending C-FIND response, as read (not yet decoded).
    fallback_charset : str
        See `query.settings.PacsSettings`.
    """
    answer = _Answer(identifier, fallback_charset)
    return StudyMatch(
        StudyInstanceUID=answer.text("StudyInstanceUID"),
        AccessionNumber=answer.text("AccessionNumber"),
        StudyDate=answer.text("StudyDate"),
        StudyTime=answer.text("StudyTime"),
        StudyDescription=answer.text("StudyDescription"),
        ModalitiesInStudy=answer.values("ModalitiesInStudy"),
        PatientID=answer.text("PatientID"),
        PatientName=answer.text("PatientName"),
        PatientSex=answer.text("PatientSex"),
        PatientBirthDate=answer.text("PatientBirthDate"),
        NumberOfStudyRelatedSeries=answer.count("NumberOfStudyRelatedSeries"),
        NumberOfStudyRelatedInstances=answer.count("NumberOfStudyRelatedInstances"),
    )


def series_match(identifier: Dataset, fallback_charset: str = "") -> SeriesMatch:
    """Return the series an identifier describes; see `study_match`."""
    answer = _Answer(identifier, fallback_charset)
    return SeriesMatch(
        StudyInstanceUID=answer.text("StudyInstanceUID"),
        SeriesInstanceUID=answer.text("SeriesInstanceUID"),
        SeriesNumber=answer.count("SeriesNumber"),
        Modality=answer.text("Modality"),
        SeriesDescription=answer.text("SeriesDescription"),
        BodyPartExamined=answer.text("BodyPartExamined"),
        NumberOfSeriesRelatedInstances=answer.count("NumberOfSeriesRelatedInstances"),
    )


def instance_match(identifier: Dataset) -> InstanceMatch:
    """Return the instance an identifier describes; see `study_match`."""
    answer = _Answer(identifier, "")
    return InstanceMatch(
        SeriesInstanceUID=answer.text("SeriesInstanceUID"),
        SOPInstanceUID=answer.text("SOPInstanceUID"),
        SOPClassUID=answer.text("SOPClassUID"),
        InstanceNumber=answer.count("InstanceNumber"),
        ImageType=answer.values("ImageType"),
    )


def failed_sop_uids(identifier: Dataset | None) -> tuple[str, ...]:
    """Return the instances a PACS says it could not send, (0008,0058)."""
    if identifier is None:
        return ()
    return _Answer(identifier, "").values("FailedSOPInstanceUIDList")


class _Answer:
    """An identifier read from its bytes, so that one bad value cannot spoil the others.

    pydicom's own conversion raises or warns, with the value in the message, where an archive
    returns an ill-formed number or date.
    """

    def __init__(self, identifier: Dataset, fallback_charset: str) -> None:
        self._identifier = identifier
        self._charsets = [label.strip() for label in self._ascii("SpecificCharacterSet")]
        self._fallback = fallback_charset

    def _raw(self, keyword: str) -> bytes:
        element = self._identifier.get_item(keyword)
        raw = element.value if isinstance(element, RawDataElement) else None
        return raw if isinstance(raw, bytes) else b""

    def _ascii(self, keyword: str) -> list[str]:
        return self._raw(keyword).decode("ascii", "replace").rstrip("\0 ").split("\\")

    def values(self, keyword: str) -> tuple[str, ...]:
        return tuple(value.strip() for value in self._ascii(keyword) if value.strip())

    def count(self, keyword: str) -> int | None:
        try:
            return int(self._ascii(keyword)[0])
        except ValueError:
            return None

    def text(self, keyword: str) -> str:
        return decode_text(self._raw(keyword), self._charsets, self._fallback)


def decode_text(raw: bytes, charsets: list[str], fallback_charset: str = "") -> str:
    r"""Return text as characters, without padding, escape sequences and control characters.

    What cannot be decoded is shown as U+FFFD: a damaged name must not hide a study.

    Parameters
    ----------
    raw : bytes
        The value as the PACS sent it.
    charsets : list of str
        The values of SpecificCharacterSet (PS3.3 C.12.1.1.2), ``[""]`` where there is none.
    fallback_charset : str
        See `query.settings.PacsSettings`.

    Examples
    --------
    >>> decode_text(b"M\xfcller^Eva ", ["ISO_IR 100"])
    'Müller^Eva'
    """
    with warnings.catch_warnings():
        # They say that characters were replaced: the text itself shows it.
        warnings.simplefilter("ignore")
        text = _by_fallback(raw, charsets, fallback_charset)
        if text is None:
            text = decode_bytes(raw, convert_encodings(charsets), set(_DELIMITERS))
    text = _ESCAPE_SEQUENCE.sub("", text)
    return "".join(character for character in text if character.isprintable()).strip()


def _by_fallback(raw: bytes, charsets: list[str], fallback_charset: str) -> str | None:
    if not fallback_charset or raw.isascii() or not _WEAK_LABELS.issuperset(charsets):
        return None
    try:
        return raw.decode(convert_encodings(fallback_charset)[0])
    except UnicodeDecodeError:
        return None
