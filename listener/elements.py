"""Finds elements in the first bytes of a little-endian dataset without decoding it (PS3.5 7.1).

What it does not understand it leaves to pydicom, by saying that it found nothing.
"""

from struct import Struct, error

_UNDEFINED = 0xFFFFFFFF
_ITEM_GROUP = 0xFFFE
_DELIMITERS = (0xFFFEE00D, 0xFFFEE0DD)
_LONG_VRS = frozenset(
    {b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"}
)
_SHORT_VRS = frozenset(
    {b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"PN"}
    | {b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US"}
)
_NONE: frozenset[bytes] = frozenset()
_SHORT = Struct("<HH2sH")
_LONG = Struct("<I")
_IMPLICIT = Struct("<HHI")


class _NotUnderstood(Exception):
    """The bytes end too early, or are not what this module reads."""


def find_elements(
    data: bytes | memoryview, tags: frozenset[int], *, is_implicit: bool
) -> dict[int, bytes] | None:
    """The values of the top-level elements `tags`.

    Parameters
    ----------
    data
        The beginning of a dataset, implicit or explicit VR little endian.
    tags
        What is wanted.
    is_implicit
        Which of the two it is.

    Returns
    -------
    dict or None
        Tag to value for those that are there; None where `data` ends before an element behind
        the last of `tags` begins, or holds what is not understood.
    """
    header = _implicit_header if is_implicit else _explicit_header
    usual_vrs = _NONE if is_implicit else _SHORT_VRS
    last = max(tags)
    found: dict[int, bytes] = {}
    position = 0
    try:
        while True:
            group, element, vr, length = _SHORT.unpack_from(data, position)
            if vr in usual_vrs and group != _ITEM_GROUP:  # most of all elements, so at once
                tag, position = group << 16 | element, position + 8
            else:
                tag, length, position = header(data, position)
            if tag > last:
                return found
            if length == _UNDEFINED:
                position = _after_sequence(data, position, is_implicit=is_implicit)
                continue
            if tag in tags:
                found[tag] = bytes(data[position : position + length])
            position += length
    except (_NotUnderstood, error):  # struct's error: the data ends within a header
        return None


def _after_sequence(data: bytes | memoryview, position: int, *, is_implicit: bool) -> int:
    """Where the element after a sequence of undefined length begins; nesting is counted."""
    header = _implicit_header if is_implicit else _explicit_header
    depth = 1
    while depth:
        tag, length, position = header(data, position)
        if tag in _DELIMITERS:
            depth -= 1
        elif length == _UNDEFINED:
            depth += 1
        else:
            position += length
    return position


def _implicit_header(data: bytes | memoryview, position: int) -> tuple[int, int, int]:
    """Tag, length, and where the value begins."""
    group, element, length = _IMPLICIT.unpack_from(data, position)
    return group << 16 | element, length, position + 8


def _explicit_header(data: bytes | memoryview, position: int) -> tuple[int, int, int]:
    group, element, vr, length = _SHORT.unpack_from(data, position)
    if group == _ITEM_GROUP:  # items and delimiters have no VR
        return _implicit_header(data, position)
    if vr in _SHORT_VRS:
        return group << 16 | element, length, position + 8
    if vr not in _LONG_VRS:
        raise _NotUnderstood
    (length,) = _LONG.unpack_from(data, position + 8)
    if length == _UNDEFINED and vr != b"SQ":  # such as UN, whose items are implicit VR
        raise _NotUnderstood
    return group << 16 | element, length, position + 12
