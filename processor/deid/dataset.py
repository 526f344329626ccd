"""One dataset made free of identity, in place: each element by its action, at every depth."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

from processor.deid.private import private_to_keep
from processor.deid.profile import Action, action_of, attribute_of, edition
from processor.deid.pseudonyms import Pseudonyms, earlier
from processor.deid.wording import cleaned
from processor.headers import text, values
from rules.elements import PrivateTag

CODES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "basic": ("113100", "Basic Application Confidentiality Profile"),
        "pixels": ("113101", "Clean Pixel Data Option"),
        "descriptors": ("113105", "Clean Descriptors Option"),
        "dates_kept": ("113106", "Retain Longitudinal Temporal Information Full Dates Option"),
        "dates_shifted": (
            "113107",
            "Retain Longitudinal Temporal Information Modified Dates Option",
        ),
        "patient": ("113108", "Retain Patient Characteristics Option"),
        "device": ("113109", "Retain Device Identity Option"),
        "uids": ("113110", "Retain UIDs Option"),
        "private": ("113111", "Retain Safe Private Option"),
        "institution": ("113112", "Retain Institution Identity Option"),
    }
)
"""The options by their codes and meanings in PS3.16 CID 7050."""

_TEXTS = frozenset({"LO", "SH", "ST", "LT", "UT", "UC"})
_NUMBERS = frozenset({"DS", "IS", "FD", "FL", "US", "SS", "UL", "SL", "UV", "SV"})
_TIME = re.compile(r"[0-9]{2,6}(\.[0-9]{1,6})?|[+-][0-9]{4}")
_PSEUDONYMS: Mapping[int, str] = MappingProxyType(
    {0x00100010: "patient", 0x00100020: "patient", 0x00080050: "accession", 0x00200010: "study"}
)
_DUMMIES: Mapping[str, object] = MappingProxyType(
    {"DA": "19000101", "TM": "000000", "DT": "19000101000000", "AS": "000Y", "AT": 0, "UR": "urn:x"}
    | {"UI": "2.25.0"}
    | dict.fromkeys(_TEXTS | {"AE", "CS", "PN"}, "REMOVED")
    | dict.fromkeys(_NUMBERS, 0)
)


@dataclass(frozen=True)
class Subject:
    """Whose dataset it is: how far the dates go back, and the words of all names and IDs in it."""

    patient: str
    days: int
    words: frozenset[str]


@dataclass(frozen=True)
class Deidentifier:
    """What a rule asks for, ready to be applied.

    Attributes
    ----------
    options : frozenset of str
        Those of `CODES` that are in force, beside the basic profile.
    words : frozenset of str
        What may stay in descriptions.
    safe_private : frozenset of str
        What private elements may stay where options has "private".
    """

    options: frozenset[str]
    pseudonyms: Pseudonyms
    words: frozenset[str]
    safe_private: frozenset[PrivateTag]

    def apply(self, header: Dataset) -> None:
        """De-identify a dataset, and say in it that and how that was done."""
        subject = self._subject(header)
        self._clean(header, subject)
        header.PatientIdentityRemoved = "YES"
        header.DeidentificationMethod = f"Safelight, PS3.15 {edition()}"
        header.DeidentificationMethodCodeSequence = Sequence(map(_coded, self._methods()))
        header.LongitudinalTemporalInformationModified = self._temporal()

    def _methods(self) -> list[tuple[str, str]]:
        return [code for name, code in CODES.items() if name == "basic" or name in self.options]

    def _temporal(self) -> str:
        if "dates_kept" in self.options:
            return "UNMODIFIED"
        return "MODIFIED" if "dates_shifted" in self.options else "REMOVED"

    def _subject(self, header: Dataset) -> Subject:
        """A patient without ID is known by the study, and is another one in the next."""
        patient = text(header, "PatientID") or text(header, "StudyInstanceUID")
        return Subject(patient, self.pseudonyms.days(patient), identity_words(header))

    def _clean(self, dataset: Dataset, subject: Subject) -> None:
        safe = self.safe_private if "private" in self.options else frozenset()
        kept_private = private_to_keep(dataset, safe)
        for element in list(dataset):
            if element.tag.is_private:
                if element.tag not in kept_private:
                    del dataset[element.tag]
                continue
            action = action_of(element, self.options)
            value = self._value(element, action, subject)
            if value is None:
                del dataset[element.tag]
            elif value is not element.value:
                dataset[element.tag] = DataElement(element.tag, element.VR, value)

    def _value(self, element: DataElement, action: Action, subject: Subject) -> Any:
        """What takes the place of a value; None where the element goes."""
        if action == "C":
            attribute = attribute_of(element.tag)
            otherwise = "Z" if attribute is None else attribute.basic_action
            return self._cleaned(element, subject) or self._value(element, otherwise, subject)
        if action == "X":
            return None
        if action in ("Z", "D"):
            return self._pseudonym(element, subject) or _stand_in(element, action)
        return self._kept(element, action, subject)

    def _kept(self, element: DataElement, action: Action, subject: Subject) -> Any:
        """What of a value stays: a sequence with its items cleaned, UIDs mapped if asked for."""
        if element.VR == "SQ":
            for item in element.value:
                self._clean(item, subject)
            return element.value
        if action == "U":
            return self._mapped(element)
        return "" if element.value is None else element.value

    def _cleaned(self, element: DataElement, subject: Subject) -> Any:
        """A value without identity, nothing where there is no way to have one."""
        texts: list[str] = []
        if element.VR == "TM" or element.keyword == "TimezoneOffsetFromUTC":
            return [one for one in _several(element) if _TIME.fullmatch(one)]
        if element.VR in ("DA", "DT"):
            texts = [earlier(one, subject.days) for one in _several(element)]
        elif element.VR in _TEXTS:
            texts = [cleaned(one, self.words, subject.words) for one in _several(element)]
        return [one for one in texts if one]

    def _pseudonym(self, element: DataElement, subject: Subject) -> str:
        """What stands for the patient, the study or a UID, "" of any other element."""
        kind = _PSEUDONYMS.get(element.tag)
        if element.VR == "UI":
            return self.pseudonyms.uid(_first(element))
        if kind is None or not element.value:
            return ""
        return self.pseudonyms.code(kind, subject.patient if kind == "patient" else _first(element))

    def _mapped(self, element: DataElement) -> Any:
        return [self.pseudonyms.uid(one) for one in _several(element)]


def identity_words(header: Dataset) -> frozenset[str]:
    """The words of every name of a person, and of the patient's IDs, in lower case."""
    names = [str(value) for value in _names(header)]
    names += [text(header, "PatientID"), text(header, "AccessionNumber")]
    split = "".join(c if c.isalnum() else " " for c in " ".join(names)).lower().split()
    return frozenset(word for word in split if len(word) > 1)


def _names(dataset: Dataset) -> Iterator[Any]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _names(item)
        elif element.VR == "PN":
            yield from values(dataset, element.tag)


def _stand_in(element: DataElement, action: Action) -> Any:
    """Nothing (Z), or a value of the VR that says nothing (D)."""
    if element.VR == "SQ":
        return [] if action == "Z" else [Dataset()]
    return "" if action == "Z" else _DUMMIES.get(element.VR, b"\0\0")


def _first(element: DataElement) -> str:
    return next(iter(_several(element)), "")


def _several(element: DataElement) -> list[str]:
    value = element.value
    if value is None or value == "":
        return []
    return [str(one) for one in value] if isinstance(value, (MultiValue, list)) else [str(value)]


def _coded(code: tuple[str, str]) -> Dataset:
    item = Dataset()
    item.CodeValue, item.CodeMeaning = code
    item.CodingSchemeDesignator = "DCM"
    return item
