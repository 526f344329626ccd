"""Words for what processors and their results say: numbers with units, names, dates. Pure."""

import math
from collections.abc import Mapping
from types import MappingProxyType

Words = Mapping[str, str]

NO_VOLUME = "no volume in this object"
"""What the reason begins with where a series has no images: a result, and no failure."""

GRADE_WORDS: Words = MappingProxyType(
    {
        "listed": "complete",
        "counted": "complete",
        "moved": "complete",
        "released": "complete",
        "quiet": "probably complete",
        "forced": "perhaps incomplete",
    }
)

STEP_TONES: Words = MappingProxyType({"done": "good", "refused": "warn", "failed": "bad"})

STEP_WORDS: Words = MappingProxyType({"refused": "not possible"})

PROCESSOR_WORDS: Words = MappingProxyType(
    {
        "convert": "Conversion",
        "qc": "Quality",
        "metadata": "Metadata",
        "preview": "Picture",
        "package": "Package",
        "forward": "Forwarding",
        "deidentify": "De-identification",
    }
)

KIND_WORDS: Words = MappingProxyType(
    {
        "nifti": "NIfTI volume",
        "sidecar": "sidecar (JSON)",
        "preview": "picture (PNG)",
        "workbook": "workbook (Excel)",
        "rows": "table rows (JSON)",
        "npz": "NumPy arrays (NPZ)",
        "bval": "b-values (bval)",
        "bvec": "gradient directions (bvec)",
        "csv": "table (CSV)",
        "parquet": "table (Parquet)",
        "package": "package (ZIP)",
        "dicom": "instance (DICOM)",
    }
)

MEASURE_WORDS: Words = MappingProxyType(
    {
        "snr": "SNR",
        "noise": "noise (stored values)",
        "efc": "EFC",
        "fber": "FBER",
        "tsnr": "tSNR",
        "dvars_percent": "DVARS (%)",
        "gsr": "ghost to signal",
        "noise_hu": "noise (HU)",
        "metal_share": "metal (share)",
        "edge_share": "body at the edge (share)",
        "exposure_index": "exposure index",
        "target_exposure_index": "target exposure index",
        "deviation_index": "deviation index",
        "deviation_index_computed": "deviation index (computed)",
        "compression_force_n": "compression force (N)",
        "body_part_thickness_mm": "body part thickness (mm)",
        "organ_dose_dgy": "organ dose (dGy)",
    }
)

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def count(number: int, singular: str, plural: str = "") -> str:
    """A number with its noun.

    >>> count(1, "instance"), count(1204, "instance"), count(2, "series", "series")
    ('1 instance', '1,204 instances', '2 series')
    """
    return f"{number:,} {singular if number == 1 else plural or singular + 's'}"


def size(number: float) -> str:
    """Bytes in decimal units, three digits.

    >>> size(0), size(999), size(1536), size(12_345_678)
    ('0 bytes', '999 bytes', '1.54 kB', '12.3 MB')
    """
    if number < 1000:
        return count(int(number), "byte")
    power = min(4, int(math.log10(number * 1.0005) / 3))
    scaled = number / 1000**power
    digits = 2 if scaled < 10 else 1 if scaled < 100 else 0
    return f"{scaled:.{digits}f} {_UNITS[power]}"


def percent(fraction: float) -> str:
    """A fraction as whole percent.

    >>> percent(0.456)
    '46 %'
    """
    return f"{fraction:.0%}".replace("%", " %")


def person_name(name: str) -> str:
    """The first component group of a PN (PS3.5 6.2.1.1) as people write it.

    >>> person_name("DOE^JANE^^DR=x=y"), person_name("")
    ('DOE, JANE DR', '')
    """
    family, _, rest = name.partition("=")[0].partition("^")
    given = " ".join(rest.replace("^", " ").split())
    return ", ".join(part for part in (family.strip(), given) if part)


def dicom_date(value: str) -> str:
    """A DA (PS3.5 6.2) in ISO 8601; anything else as it is.

    >>> dicom_date("20261103"), dicom_date("2026.11.03")
    ('2026-11-03', '2026.11.03')
    """
    if len(value) == 8 and value.isdecimal():
        return f"{value[:4]}-{value[4:6]}-{value[6:]}"
    return value
