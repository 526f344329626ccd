"""PS3.15 Table E.1-1: what is done with each attribute under the options that are chosen."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal

from pydicom.datadict import dictionary_has_tag
from pydicom.dataelem import DataElement
from pydicom.tag import BaseTag

Action = Literal["K", "C", "U", "D", "Z", "X"]
"""Keep, clean, map the UID, dummy value, empty, remove (PS3.15 Table E.1-1a)."""

_DATES = frozenset({"DA", "DT"})


@dataclass(frozen=True)
class Attribute:
    """A row of the table: the action of the basic profile, and those of options by their name."""

    name: str
    basic: str
    options: Mapping[str, str]

    @property
    def basic_action(self) -> Action:
        """The last of alternatives such as ``X/Z/D``: it leaves every IOD as valid as it was."""
        return self.basic.rstrip("*").split("/")[-1]  # type: ignore[return-value]  # checked data

    def action(self, options: frozenset[str]) -> Action:
        """The action under options: to keep goes before to clean, which goes before the profile."""
        asked = {code for option, code in self.options.items() if option in options}
        return "K" if "K" in asked else "C" if "C" in asked else self.basic_action


@lru_cache(maxsize=1)
def _content() -> Mapping[str, Any]:
    text = files("processor.deid").joinpath("attributes.json").read_text(encoding="utf-8")
    return MappingProxyType(json.loads(text))


@lru_cache(maxsize=1)
def attributes() -> Mapping[str, Attribute]:
    """The table by tag, eight hexadecimal digits; that of repeating groups as ``60xx3000``."""
    rows: list[tuple[str, str, str, dict[str, str]]] = _content()["attributes"]
    return MappingProxyType(
        {tag: Attribute(name, basic, options) for tag, name, basic, options in rows}
    )


def edition() -> str:
    """The edition of the standard that the table is of."""
    return str(_content()["edition"])


def attribute_of(tag: BaseTag) -> Attribute | None:
    """The row of a tag, None where the table has none."""
    return attributes().get(f"{tag:08X}")


def action_of(element: DataElement, options: frozenset[str]) -> Action:
    """What is done with an element that is not private.

    What the table does not list is kept, with four exceptions, since it cannot be known to be
    safe: elements that no dictionary has, overlays and curves, names of people and dates.
    """
    tag = element.tag
    if tag.group < 8 or tag.group & 0xFF01 in (0x5000, 0x6000):
        return "X"
    attribute = attribute_of(tag)
    if attribute is not None:
        return attribute.action(options)
    if not dictionary_has_tag(tag):
        return "X"
    if element.VR == "PN":
        return "Z"
    if element.VR in _DATES and "dates_kept" not in options:
        return "C" if "dates_shifted" in options else "Z"
    return "K"
