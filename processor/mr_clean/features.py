"""What else is told of a series: orientation, suppression, contrast agent, scanner."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from processor.mr_clean.config import MrConfig, found_in
from processor.mr_clean.reading import numbers_of, parts_of, tesla_of, text_of
from processor.mr_clean.sequence import Series

_OBLIQUE_BELOW = 0.9
_AXES = ("SAG", "COR", "AX")
_AXIS_WORDS = (
    ("SAG", r"\bsag\w*\b|矢状"),
    ("COR", r"\bcor\w*\b|冠状"),
    ("AX", r"\bax\w*\b|\btra(ns\w*)?\b|横断|轴位"),
)
_SUBTYPES = (
    ("PHASE", ("P", "PHASE", "PHASE MAP")),
    ("REAL", ("R", "REAL")),
    ("IMAGINARY", ("I", "IMAGINARY")),
    ("MIP", ("MIP", "PROJECTION IMAGE", "MINIP", "MNIP")),
    ("MPR", ("MPR", "CSA MPR", "REFORMATTED")),
    ("SUBTRACTION", ("SUBTRACTION", "SUB")),
    ("ADC", ("ADC",)),
    ("FA", ("FA",)),
    ("TRACE", ("TRACEW", "TRACE")),
    ("WATER", ("W", "WATER")),
    ("FAT", ("F", "FAT")),
    ("INPHASE", ("IP", "IN_PHASE")),
    ("OUTPHASE", ("OP", "OUT_PHASE", "OPP_PHASE")),
    ("MAP", ("T1 MAP", "T2 MAP", "T1_MAP", "T2_MAP", "T2_STAR MAP")),
    ("SCREENSHOT", ("SCREEN SAVE", "SCREENSAVE", "SCREENSHOT")),
    ("MAGNITUDE", ("M", "MAGNITUDE", "M_SE", "M_FFE", "M_IR")),
)


@dataclass(frozen=True)
class Orientation:
    """SAG, COR or AX, OBL where none stands out, with the angle to the closest axis in degrees."""

    name: str
    obliquity: float | None = None


def orientation_of(series: Series) -> Orientation:
    """By the normal of ImageOrientationPatient; by words of the name only without one."""
    cosines = numbers_of(series.row, "ImageOrientationPatient")
    if len(cosines) >= 6:
        normal = _cross(cosines)
        length = math.hypot(*normal)
        if length > 0.1:
            largest = max(range(3), key=lambda axis: abs(normal[axis]))
            share = abs(normal[largest]) / length
            name = "OBL" if share**2 < _OBLIQUE_BELOW else _AXES[largest]
            return Orientation(name, round(math.degrees(math.acos(min(1.0, share))), 2))
    for name, pattern in _AXIS_WORDS:
        if found_in(pattern, series.name):
            return Orientation(name)
    return Orientation("UNKNOWN")


def _cross(cosines: Sequence[float]) -> tuple[float, float, float]:
    """The normal of rows and columns, in Python: numpy takes longer for three numbers."""
    a, b, c, d, e, f = cosines[:6]
    return b * f - c * e, c * d - a * f, a * e - b * d


def dimension_of(series: Series) -> str:
    """2D or 3D, by MRAcquisitionType, else by the name."""
    kind = text_of(series.row, "MRAcquisitionType").upper()
    if kind in ("2D", "3D"):
        return kind
    for dimension in ("3D", "2D"):
        if found_in(rf"\b{dimension.lower()}\b", series.name):
            return dimension
    return "UNKNOWN"


def part_of(series: Series, config: MrConfig) -> str:
    """WATER, FAT, INPHASE or OUTPHASE: the image of a Dixon acquisition; empty for none."""
    for rule in config.parts:
        if any(token in series.image_type for token in rule.tokens):
            return rule.suffix
    for rule in config.parts:
        if rule.matches(rule.pattern, series.name):
            return rule.suffix
    return ""


def fat_suppression_of(
    series: Series, sequence_class: str, part: str, config: MrConfig
) -> tuple[bool, str]:
    """Whether fat is suppressed, and how."""
    if part in ("FAT", "INPHASE", "OUTPHASE"):
        return False, ""
    method = _method_of(series, sequence_class, part, config)
    return bool(method), method


def _method_of(series: Series, sequence_class: str, part: str, config: MrConfig) -> str:
    if part == "WATER":
        return "DIXON"
    if sequence_class.startswith("T2_STIR"):
        return "STIR"
    settings = config.fat_suppression
    for rule in settings.methods:
        if rule.method != "DIXON" and rule.matches(rule.pattern, series.name):
            return rule.method
    options = {part.upper() for part in parts_of(series.row, "ScanOptions")}
    if options.intersection(settings.scan_options):
        return "FS"
    selected = text_of(series.row, "SpectrallySelectedSuppression").upper()
    return "SPECTRAL" if selected in ("FAT", "FAT_AND_WATER") else ""


def contrast_of(series: Series, config: MrConfig) -> tuple[bool, str]:
    """Whether a contrast agent is seen, and what contradicts that.

    Words that say before it win: the elements of an agent stay on series from before it.
    """
    settings = config.contrast
    agent = text_of(series.row, "ContrastBolusAgent").lower()
    has_agent = agent not in settings.agents_for_none
    if found_in(settings.pre, series.name):
        return False, "ContrastBolusAgent is filled, but the name says pre" if has_agent else ""
    return has_agent or found_in(settings.post, series.name), ""


def has_motion_correction(series: Series, config: MrConfig) -> bool:
    """Whether motion was corrected, while acquiring (BLADE, PROPELLER) or later."""
    tokens = set(config.motion.tokens).intersection(series.image_type)
    return bool(tokens) or found_in(config.motion.pattern, series.name)


def acquires_blades(series: Series, config: MrConfig) -> bool:
    """Whether the sequence itself is one against motion."""
    return found_in(config.motion.pattern, series.name)


def refined_image_type(series: Series, sequence_class: str) -> tuple[str, str]:
    """ORIGINAL, DERIVED, LOCALIZER or OTHER, and the finer kind."""
    types = set(series.image_type)
    subtype = next((name for name, tokens in _SUBTYPES if types.intersection(tokens)), "")
    if sequence_class == "LOCALIZER":
        return "LOCALIZER", subtype
    if sequence_class == "EXCLUDED":
        return "OTHER", subtype
    if "DERIVED" in types:
        return "DERIVED", subtype
    return ("ORIGINAL" if "ORIGINAL" in types else "OTHER"), subtype


def field_strength_of(series: Series) -> str:
    """Low-Field, 1.5T, 3.0T, High-Field, or UNKNOWN."""
    tesla = tesla_of(series.row)
    if tesla is None:
        return "UNKNOWN"
    limits = ((1, "Low-Field"), (2, "1.5T"), (4, "3.0T"))
    return next((name for limit, name in limits if tesla < limit), "High-Field")


def manufacturer_of(series: Series, config: MrConfig) -> str:
    """What the manufacturer is called in the table; Other, or UNKNOWN where it is missing."""
    told = text_of(series.row, "Manufacturer").lower()
    if not told:
        return "UNKNOWN"
    patterns = config.manufacturer_patterns
    return next((name for pattern, name in patterns if pattern.search(told)), "Other")


def model_of(series: Series) -> str:
    """The model without the manufacturer's name, underscores and doubled spaces."""
    model = text_of(series.row, "ManufacturerModelName").replace("_", " ")
    words = [word for word in model.split() if word.lower() not in _MAKERS]
    return " ".join(words)


_MAKERS = frozenset(
    {"siemens", "philips", "ge", "uih", "toshiba", "canon", "hitachi", "medical", "systems"}
)
