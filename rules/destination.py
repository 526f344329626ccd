"""Folders of outputs from a template, such as ``{PatientID}/{SeriesNumber:03d}``, safe to make.

What a header holds can only ever become part of a name: never a folder more, or one above.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from rules.elements import parse_element

_LONGEST = 64
_LONGEST_NAME = 200
_FIELD = re.compile(r"\{([^{}:]+)(?::(\d{1,2})d)?\}")
_LITERAL = re.compile(r"[A-Za-z0-9._-]*")


def safe_name(value: str) -> str:
    """A file name from any text: letters, digits, dot, dash and underscore.

    >>> safe_name("../T2 TSE (sag)")
    'T2_TSE_sag'
    """
    return re.sub(r"[^A-Za-z0-9.-]+", "_", value).strip("._-")[:_LONGEST].rstrip("._-")


@dataclass(frozen=True)
class Field:
    """An element's place in a template; `digits` fills a whole number up with zeros."""

    element: str
    digits: int | None = None

    def filled(self, header: Mapping[str, tuple[str | float, ...]]) -> str:
        """The element as part of a name; one that is absent is said to be."""
        values = header.get(self.element, ())
        if self.digits is not None:
            number = _whole(values)
            return self._absent if number is None else f"{number:0{self.digits}d}"
        text = "_".join(f"{v:g}" if isinstance(v, float) else v for v in values)
        return safe_name(text) or self._absent

    @property
    def _absent(self) -> str:
        return f"no_{safe_name(self.element)}"


def _whole(values: tuple[str | float, ...]) -> int | None:
    """The one whole number, 0 or more, among `values`."""
    try:
        (value,) = values
        number = float(value)
        return int(number) if number >= 0 and number.is_integer() else None
    except (ValueError, OverflowError):
        return None


@dataclass(frozen=True)
class Destination:
    """Where a rule's outputs go below the results folder; each name is literals and fields."""

    text: str
    names: tuple[tuple[str | Field, ...], ...]

    @property
    def elements(self) -> tuple[str, ...]:
        """The elements it asks for."""
        parts = (part for name in self.names for part in name)
        return tuple(part.element for part in parts if isinstance(part, Field))

    def folder(self, header: Mapping[str, tuple[str | float, ...]]) -> str:
        """The folder for a series.

        >>> template = parse_destination("{PatientID}/{SeriesNumber:03d}_{SeriesDescription}")
        >>> template.folder({"PatientID": ("../P 1",), "SeriesNumber": (5.0,)})
        'P_1/005_no_SeriesDescription'
        """
        return "/".join(_name(parts, header) for parts in self.names)


def _name(parts: tuple[str | Field, ...], header: Mapping[str, tuple[str | float, ...]]) -> str:
    filled = (part.filled(header) if isinstance(part, Field) else part for part in parts)
    return "".join(filled)[:_LONGEST_NAME].rstrip(".")


def parse_destination(text: str) -> Destination:
    """Read a template.

    Raises
    ------
    ValueError
        It is none: the message says what is wrong and what was expected.
    """
    if text.startswith(("/", "~")):
        raise ValueError("expected a folder below the results folder, without a / before it")
    names = text.split("/")
    if len(names) < 2:
        raise ValueError("expected a folder in a folder, such as {PatientID}/{SeriesDescription}")
    return Destination(text, tuple(_parts(name) for name in names))


def parse_name(text: str) -> Destination:
    """Read a template of one name, such as ``{SeriesNumber:03d}_{SeriesDescription}``.

    Raises
    ------
    ValueError
        It is none: the message says what is wrong and what was expected.

    >>> parse_name("{SeriesNumber:03d}_{Modality}").folder({"SeriesNumber": (5.0,)})
    '005_no_Modality'
    """
    return Destination(text, (_parts(text),))


def _parts(name: str) -> tuple[str | Field, ...]:
    parts: list[str | Field] = []
    end = 0
    for match in _FIELD.finditer(name):
        parts += [name[end : match.start()], _field(match[1], match[2])]
        end = match.end()
    parts.append(name[end:])
    literals = [part for part in parts if isinstance(part, str)]
    if any(_LITERAL.fullmatch(literal) is None for literal in literals):
        raise ValueError(
            f"{name!r}: expected letters, digits, '.', '-', '_' and {{Keyword}} or {{Keyword:03d}}"
        )
    if name.startswith(".") or not name:
        raise ValueError(f"{name!r} is no name of a folder")
    return tuple(part for part in parts if part)


def _field(element: str, digits: str | None) -> Field:
    return Field(parse_element(element).name, None if digits is None else int(digits))
