"""The private headers that Siemens writes into images (CSA), read by nibabel."""

import struct
import warnings
from typing import Any

import numpy as np
from pydicom.dataset import Dataset

from processor.geometry import Array
from processor.headers import element_value

with warnings.catch_warnings():
    # nibabel calls its DICOM readers experimental; this reads private headers only.
    warnings.simplefilter("ignore")
    from nibabel.nicom import csareader

_reader: Any = csareader
IMAGE, SERIES = 0x00291010, 0x00291020


def csa_header(header: Dataset, tag: int) -> dict[str, Any] | None:
    """The CSA header in the element `tag`; None when absent or unreadable."""
    data = element_value(header, tag)
    try:
        found = _reader.read(data) if isinstance(data, bytes) else None
    except (csareader.CSAReadError, ValueError, TypeError, struct.error):
        return None
    return None if found is None else dict(found)


def csa_scalar(csa: dict[str, Any] | None, name: str) -> Any:
    """The one value of an entry; None when absent."""
    return None if csa is None else _reader.get_scalar(csa, name)


def csa_vector(csa: dict[str, Any] | None, name: str, length: int) -> Array | None:
    """The values of an entry, shape (length,); None when absent."""
    found = None if csa is None else _reader.get_vector(csa, name, length)
    return None if found is None else np.asarray(found, dtype=np.float64)
