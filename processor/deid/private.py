"""Private elements that may stay: those of which it is known that they hold numbers."""

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag

from rules.elements import PrivateTag, parse_element

SAFE_PRIVATE = (
    "(0019,SIEMENS MR HEADER,0C)",
    "(0019,SIEMENS MR HEADER,0E)",
    "(0019,SIEMENS MR HEADER,27)",
    "(0019,SIEMENS MR HEADER,28)",
    "(0019,SIEMENS MR HEADER,29)",
    "(0043,GEMS_PARM_01,39)",
    "(2001,Philips Imaging DD 001,03)",
    "(2005,Philips MR Imaging DD 001,0D)",
    "(2005,Philips MR Imaging DD 001,0E)",
    "(2005,Philips MR Imaging DD 001,B0)",
    "(2005,Philips MR Imaging DD 001,B1)",
    "(2005,Philips MR Imaging DD 001,B2)",
    "(7053,Philips PET Private Group,00)",
    "(7053,Philips PET Private Group,09)",
)
"""Private elements that hold numbers of the acquisition: diffusion, timing and scaling."""

_NUMBERS = frozenset({"DS", "IS", "FD", "FL", "US", "SS", "UL", "SL", "UV", "SV"})


def safe_private(more: tuple[str, ...] = ()) -> frozenset[PrivateTag]:
    """The private elements that may stay: those shipped, and a site's own."""
    nodes = (parse_element(name).nodes[0] for name in (*SAFE_PRIVATE, *more))
    return frozenset(node for node in nodes if isinstance(node, PrivateTag))


def private_to_keep(dataset: Dataset, safe: frozenset[PrivateTag]) -> frozenset[BaseTag]:
    """The elements of a dataset that are numbers and safe, with who reserved their blocks."""
    kept: set[BaseTag] = set()
    for tag in list(dataset.keys()) if safe else ():
        creator = BaseTag(tag.group << 16 | tag.element >> 8)
        if not tag.is_private or tag.element < 0x1000 or creator not in dataset:
            continue
        name = PrivateTag(tag.group, str(dataset[creator].value), tag.element & 0xFF)
        if name in safe and dataset[tag].VR in _NUMBERS:
            kept.update((tag, creator))
    return frozenset(kept)
