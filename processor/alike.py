"""Elements of files that are alike: the bytes that all have in common are compared, not parsed.

A reader that has parsed some files knows which elements differ between them. Of the next file the
stretches between those must be the same bytes; else it is parsed as well.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any

from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.tag import BaseTag
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, VR

from processor.headers import tag_of

_EXPLICIT = Struct("<HH2sH").unpack_from
_IMPLICIT = Struct("<HHL").unpack_from
_LENGTH = Struct("<L").unpack_from
VRS = {vr.value.encode(): vr.value for vr in VR if len(vr.value) == 2}
_LONG = frozenset(str(vr) for vr in EXPLICIT_VR_LENGTH_32)
_ITEMS = 0xFFFE

_SHORT = 128

_Element = DataElement | RawDataElement
Elements = dict[BaseTag, _Element]
Known = dict[tuple[int, str | None, bytes | None], RawDataElement]
"""Short elements by tag, VR and value: those that are the same take room once."""


class BeyondBeginning(Exception):
    """More of the file is needed than was read of it."""


class Piece:
    """The beginning of a file, and the rest on demand.

    Attributes
    ----------
    contents : bytes
        The beginning.
    size : int
        Of the whole file.
    """

    def __init__(self, file: int, size: int, length: int) -> None:
        self.contents = os.pread(file, length, 0)
        self.size = size
        self._file = file

    def value(self, at: int, length: int) -> bytes:
        """Some bytes of the file. Only its last element is read by itself: the pixels.

        Raises
        ------
        BeyondBeginning
            They are not in the beginning.
        """
        end = at + length
        if end <= len(self.contents):
            return self.contents[at:end]
        if end < self.size or end > self.size:
            raise BeyondBeginning
        return os.pread(self._file, length, at)


@dataclass(frozen=True, slots=True)
class _Parsed:
    """One element: where it begins in a file, and where its value does."""

    begin: int
    element: RawDataElement
    value_at: int


@dataclass(frozen=True, slots=True)
class _Part:
    """Bytes that all files have, up to the length of an element whose value differs."""

    common: bytes
    length_bytes: int
    tag: BaseTag
    vr: str | None


@dataclass(frozen=True, slots=True)
class _Pattern:
    """The stretches that files have in common; the last element always differs.

    Attributes
    ----------
    elements : dict
        Those of one of the files.
    """

    parts: tuple[_Part, ...] = ()
    elements: Elements = field(default_factory=dict)
    varying: frozenset[BaseTag] = frozenset()


class Alike:
    """Reads the elements of one region, file meta or dataset, of files that are alike.

    Parameters
    ----------
    known : dict
        Elements read so far.
    implicit : bool
        Whether they have no VR.
    """

    def __init__(self, known: Known, *, implicit: bool) -> None:
        self._known = known
        self._implicit = implicit
        self._pattern = _Pattern()

    def read(self, piece: Piece, at: int, end: int) -> Elements | None:
        """What lies from `at` to `end`; None unless whole elements of known VRs fill it.

        Raises
        ------
        BeyondBeginning
            Not all that is needed was read of the file.
        """
        pattern = self._pattern
        found = self._by_pattern(pattern, piece, at, end) if pattern.elements else None
        return self._parsed(piece, at, end) if found is None else found

    def _by_pattern(self, pattern: _Pattern, piece: Piece, at: int, end: int) -> Elements | None:
        contents = piece.contents
        found = pattern.elements.copy()
        for part in pattern.parts:
            begin, length_at = at, at + len(part.common)
            if contents[begin:length_at] != part.common:
                return None
            at = length_at + part.length_bytes
            length = int.from_bytes(contents[length_at:at], "little")
            if at > len(contents) or length > end - at:
                return None
            found[part.tag] = self._element(part.tag, part.vr, piece.value(at, length), at)
            at += length
        return found if at == end else None

    def _element(self, tag: BaseTag, vr: str | None, value: bytes, at: int) -> RawDataElement:
        length = len(value)
        content: Any = value or empty_value_for_VR(vr, raw=True)
        if length > _SHORT or vr == "SQ":
            return RawDataElement(tag, vr, length, content, at, self._implicit, True)
        key = (tag, vr, content)
        shared = self._known.get(key)
        if shared is None:
            shared = RawDataElement(tag, vr, length, content, at, self._implicit, True)
            self._known[key] = shared
        return shared

    def _parsed(self, piece: Piece, at: int, end: int) -> Elements | None:
        """The elements one by one; what is learnt by it serves the next file."""
        parsed: list[_Parsed] = []
        while at < end:
            item = self._next(piece, at, end)
            if item is None:
                return None
            parsed.append(item)
            at = item.value_at + item.element.length
        if parsed:
            self._pattern = _learnt(self._pattern, piece.contents, parsed)
        return {item.element.tag: item.element for item in parsed}

    def _next(self, piece: Piece, at: int, end: int) -> _Parsed | None:
        """The element that begins at `at`; None where it is none of a known VR."""
        contents, begin, vr = piece.contents, at, None
        if end - at < 8:
            return None
        if at + 12 > len(contents) < piece.size:
            raise BeyondBeginning
        if self._implicit:
            group, element, length = _IMPLICIT(contents, at)
        else:
            group, element, code, length = _EXPLICIT(contents, at)
            vr = VRS.get(code)
            if vr is None:
                return None
            if vr in _LONG:
                if end - at < 12:
                    return None
                (length,) = _LENGTH(contents, at + 8)
                at += 4
        at += 8
        if length > end - at or group in (0, _ITEMS):
            return None
        tag = tag_of(group << 16 | element)
        return _Parsed(begin, self._element(tag, vr, piece.value(at, length), at), at)


def _learnt(before: _Pattern, contents: bytes, parsed: Sequence[_Parsed]) -> _Pattern:
    """The pattern of the files so far; none where an element is repeated."""
    elements: Elements = {item.element.tag: item.element for item in parsed}
    if len(elements) < len(parsed):
        return _Pattern()
    varying = {parsed[-1].element.tag}  # pixels, most of all
    if [*before.elements] == [*elements]:
        varying |= before.varying
        varying |= {tag for tag, item in elements.items() if not _same(item, before.elements[tag])}
    parts = []
    at = parsed[0].begin
    for item in parsed:
        if item.element.tag in varying:
            parts.append(_part(contents, at, item))
            at = item.value_at + item.element.length
    return _Pattern(tuple(parts), elements, frozenset(varying))


def _same(one: _Element, other: _Element) -> bool:
    """Whether elements are equal wherever they stand in their files."""
    return (one.VR, one.value) == (other.VR, other.value)


def _part(contents: bytes, at: int, item: _Parsed) -> _Part:
    element = item.element
    length_bytes = 4 if element.VR is None or element.VR in _LONG else 2
    common = contents[at : item.value_at - length_bytes]
    return _Part(common, length_bytes, element.tag, element.VR)
