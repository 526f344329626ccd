"""Names of elements in rules: a keyword, a private tag, or the path to an element of an item.

Private tags (PS3.5 7.8) are named by their creator, since the block an element lies in is only
known in the instance: ``(0019,SIEMENS MR HEADER,0C)`` is the element whose last two digits are
0C in the block of group 0019 that SIEMENS MR HEADER has reserved.
"""

import difflib
import re
from dataclasses import dataclass

from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag

from listener.header import plain_values
from listener.identity import PARSE_ERRORS

_PART = re.compile(r"\([^)]*\)|[^.()]+")
_PRIVATE = re.compile(r'\(([0-9A-Fa-f]{4}),\s*"?([^"]+?)"?\s*,([0-9A-Fa-f]{2})\)')
_TAG = re.compile(r"\([0-9A-Fa-f]{4},[0-9A-Fa-f]{4}\)")


@dataclass(frozen=True)
class PrivateTag:
    """A private element: its group, who reserved its block, and its last two digits."""

    group: int
    creator: str
    element: int


Node = str | int | PrivateTag
"""A keyword, the number of an item, or a private tag."""


@dataclass(frozen=True)
class ElementPath:
    """Where an element is found: one name, or sequences with the number of their item."""

    name: str
    nodes: tuple[Node, ...]

    @property
    def is_plain(self) -> bool:
        """Whether it is just a keyword, which every header that was read has."""
        return len(self.nodes) == 1 and isinstance(self.nodes[0], str)

    def values(self, dataset: Dataset) -> tuple[str | float, ...]:
        """The element's values in a dataset; none where it is absent, empty or unreadable."""
        try:
            element = self._element(dataset)
            return () if element is None else _values_of(element)
        except PARSE_ERRORS:
            return ()

    def _element(self, dataset: Dataset) -> DataElement | None:
        found: DataElement | None = None
        for node in self.nodes:
            if not isinstance(node, int):
                found = _find(dataset, node)
            elif found is None or found.VR != "SQ":
                return None
            else:
                dataset = found.value[node]
        return found


def _find(dataset: Dataset, node: str | PrivateTag) -> DataElement | None:
    if isinstance(node, str):
        tag = tag_for_keyword(node)
        return dataset[tag] if tag is not None and tag in dataset else None
    try:
        return dataset.private_block(node.group, node.creator)[node.element]
    except KeyError:
        return None


def _values_of(element: DataElement) -> tuple[str | float, ...]:
    """Plain values; of an element without a known VR its text, if it is one."""
    value = element.value
    if isinstance(value, bytes):
        text = value.rstrip(b"\0 ").decode("ascii", "replace")
        return (text,) if text and text.isprintable() and "\ufffd" not in text else ()
    return () if element.VR == "SQ" else plain_values(value)


def parse_element(name: str) -> ElementPath:
    """Read the name of an element.

    Raises
    ------
    ValueError
        It is none; the message says what is wrong and what may have been meant.

    Examples
    --------
    >>> parse_element("RequestAttributesSequence.0.RequestedProcedureDescription").nodes
    ('RequestAttributesSequence', 0, 'RequestedProcedureDescription')
    >>> parse_element("(0019,SIEMENS MR HEADER,0C)").nodes
    (PrivateTag(group=25, creator='SIEMENS MR HEADER', element=12),)
    """
    parts = _PART.findall(name)
    if not parts or ".".join(parts) != name:
        raise ValueError("expected names that are joined by dots, such as Sequence.0.Keyword")
    nodes = tuple(_node(part) for part in parts)
    for place, node in enumerate(nodes):
        if isinstance(node, int) != bool(place % 2):
            raise ValueError(f"{parts[place]}: expected a sequence, a number of an item, and so on")
    if len(nodes) % 2 == 0:  # it ends with the number of an item
        raise ValueError("expected an element of the item: Sequence.0.Keyword")
    for node in nodes[:-1:2]:
        if isinstance(node, str) and dictionary_VR(node) != "SQ":
            raise ValueError(f"{node} is no sequence")
    return ElementPath(name, nodes)


def _node(part: str) -> Node:
    if part.isascii() and part.isdigit():
        return int(part)
    private = _PRIVATE.fullmatch(part)
    if private is not None:
        group, creator, element = private.groups()
        if not Tag(int(group, 16), 0x10).is_private:
            raise ValueError(f"{part}: the group of a private tag is odd")
        return PrivateTag(int(group, 16), creator, int(element, 16))
    if _TAG.fullmatch(part):
        raise ValueError(f"{part}: write its keyword, or a private tag as {_EXAMPLE}")
    if part.startswith("("):
        raise ValueError(f"{part}: expected a private tag as {_EXAMPLE}")
    if tag_for_keyword(part) is None:
        raise ValueError(f"{part}: no such DICOM keyword{did_you_mean(part)}")
    return part


_EXAMPLE = "(0019,SIEMENS MR HEADER,0C)"


def did_you_mean(word: str, names: tuple[str, ...] = ()) -> str:
    """A hint at the keyword, or one of `names`, that is spelt nearly as `word`; else nothing."""
    close = difflib.get_close_matches(word, [*names, *keyword_dict], n=1)
    return f" (did you mean {close[0]}?)" if close else ""
