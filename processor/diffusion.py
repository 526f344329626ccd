"""Diffusion weighting: b-values and gradient directions of headers.

Directions are told only where their frame of reference is certain: the standard's elements, those
of Siemens and Philips (both in the patient frame) and of United Imaging (in the image's own).
"""

from typing import Any

from pydicom.dataset import Dataset

from processor.headers import element_value, numbers, private_numbers, text

Direction = tuple[float, ...]

_B_VALUES = (0x0019100C, 0x20011003, 0x00431039)  # Siemens, Philips, GE
_GE_OFFSET = 1e9  # GE adds it to the first of its four numbers
_SIEMENS_DIRECTION = 0x0019100E
_PHILIPS_DIRECTION = (0x200510B0, 0x200510B1, 0x200510B2)
_UIH_B_VALUE, _UIH_DIRECTION = 0x00651009, 0x00651037


def b_value_of(header: Dataset) -> float | None:
    """The b-value in s/mm2: the standard element, else the vendors' private ones."""
    found = numbers(_diffusion(header), "DiffusionBValue") or numbers(header, "DiffusionBValue")
    if found:
        return found[0]
    keys = (*_B_VALUES, *((_UIH_B_VALUE,) if _is_uih(header) else ()))
    private = next(filter(None, (private_numbers(header, key) for key in keys)), ())
    return private[0] % _GE_OFFSET if private else None


def direction_of(header: Dataset) -> Direction | None:
    """The direction of the gradient in the patient frame (LPS), not normalised.

    Of United Imaging in the image's frame: `is_in_image_frame`. None where it is not told.
    """
    diffusion = _diffusion(header)
    nested: Any = element_value(diffusion, "DiffusionGradientDirectionSequence") or [header]
    found = numbers(nested[0], "DiffusionGradientOrientation")
    found = found or private_numbers(header, _SIEMENS_DIRECTION)
    if not found and text(header, "Manufacturer").upper().startswith("PHILIPS"):
        found = tuple(
            value for key in _PHILIPS_DIRECTION for value in private_numbers(header, key)[:1]
        )
    if not found and _is_uih(header):
        found = private_numbers(header, _UIH_DIRECTION)
    return found if len(found) == 3 and any(found) else None


def is_in_image_frame(header: Dataset) -> bool:
    """Whether directions run along a row, down a column and along the normal."""
    return _is_uih(header)


def _is_uih(header: Dataset) -> bool:
    return text(header, "Manufacturer").upper().startswith("UIH")


def _diffusion(header: Dataset) -> Dataset:
    groups: Any = element_value(header, "MRDiffusionSequence")
    return groups[0] if groups else header
