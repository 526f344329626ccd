"""The settings of the PROCESS step. Reading them from a file is the configuration's business."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from annotated_types import Ge, Gt

Rectangle = tuple[int, int, int, int]

_UID_ROOT = re.compile(r"(?=.{1,35}$)[0-2](\.(0|[1-9][0-9]*))+")


@dataclass(frozen=True)
class QcThresholds:
    """When an image of a modality is low quality.

    Attributes
    ----------
    dynamic_range_min : float
        Least p98 - p2, stored units.
    std_min : float
        Least standard deviation, stored units.
    unique_ratio_min : float
        Least distinct values / min(pixels, 4096).
    low_ratio_threshold, high_ratio_threshold : float
        Largest share of pixels in the lowest / highest 5 % of the range.
    series_low_quality_ratio : float
        A series is low when more than this share of its images is.
    percentile_low, percentile_high : float
        The percentiles of the dynamic range.
    """

    dynamic_range_min: float = 20
    std_min: float = 5
    unique_ratio_min: float = 0.01
    low_ratio_threshold: float = 0.6
    high_ratio_threshold: float = 0.6
    series_low_quality_ratio: float = 0.3
    percentile_low: float = 2
    percentile_high: float = 98


_MR = QcThresholds(dynamic_range_min=15, unique_ratio_min=0.008)
_RADIOGRAPH = QcThresholds(dynamic_range_min=10, std_min=3, unique_ratio_min=0.001)

DEFAULT_THRESHOLDS: Mapping[str, QcThresholds] = MappingProxyType(
    {
        "DEFAULT": QcThresholds(),
        "CT": QcThresholds(),
        "MR": _MR,
        "DX": _RADIOGRAPH,
        "DR": _RADIOGRAPH,
        "MG": _RADIOGRAPH,
        "CR": _RADIOGRAPH,
    }
)


@dataclass(frozen=True)
class QcSettings:
    """Thresholds by modality; a modality not named has those of DEFAULT."""

    by_modality: Mapping[str, QcThresholds] = field(
        default_factory=lambda: dict(DEFAULT_THRESHOLDS)
    )

    def thresholds_for(self, modality: str) -> QcThresholds:
        """The thresholds of a modality.

        >>> QcSettings().thresholds_for("PT").std_min
        5
        """
        fallback = self.by_modality.get("DEFAULT", DEFAULT_THRESHOLDS["DEFAULT"])
        return self.by_modality.get(modality, DEFAULT_THRESHOLDS.get(modality, fallback))


@dataclass(frozen=True)
class Mask:
    """Where the images of a device have text burned in; what is not given fits every image.

    Attributes
    ----------
    rectangles : tuple of (x, y, width, height)
        In pixels, from the upper left; none says that nothing is burned in.
    manufacturer, model, modality : str
        As the header has them, in capitals or not.
    rows, columns : int
        The size of the image; 0 for any.
    """

    rectangles: tuple[Rectangle, ...]
    manufacturer: str = ""
    model: str = ""
    modality: str = ""
    rows: Annotated[int, Ge(0)] = 0
    columns: Annotated[int, Ge(0)] = 0

    def __post_init__(self) -> None:
        if any(min(one) < 0 or not all(one[2:]) for one in self.rectangles):
            raise ValueError("rectangles: expected [x, y, width, height] in pixels")
        if not any((self.manufacturer, self.model, self.modality, self.rows, self.columns)):
            raise ValueError("rectangles: expected manufacturer, model, modality or a size beside")


@dataclass(frozen=True)
class DeidentifySettings:
    """What a site says about de-identification.

    Attributes
    ----------
    key_file : Path
        The site key; it is made where there is none.
    uid_root : str
        What new UIDs begin with.
    words : tuple of str
        Words that may stay in descriptions, beside those shipped.
    safe_private : tuple of str
        Private elements that may stay, beside those shipped, as ``(0019,SIEMENS MR HEADER,0C)``.
    mask : tuple of Mask
        Where text is burned into images; the first that fits counts.
    """

    key_file: Path = Path("deidentify.key")
    uid_root: str = "2.25"
    words: tuple[str, ...] = ()
    safe_private: tuple[str, ...] = ()
    mask: tuple[Mask, ...] = ()

    def __post_init__(self) -> None:
        if not _UID_ROOT.fullmatch(self.uid_root):
            raise ValueError("uid_root: expected a UID of at most 35 characters, such as 2.25")
        for name in self.safe_private:
            _require_private(name)


def _require_private(name: str) -> None:
    from rules.elements import PrivateTag, parse_element  # noqa: PLC0415 - takes long, and is rare

    try:
        nodes = parse_element(name).nodes
    except ValueError as error:
        raise ValueError(f"safe_private: {error}") from None
    if len(nodes) > 1 or not isinstance(nodes[0], PrivateTag):
        raise ValueError(f"safe_private: {name} is no private element")


@dataclass(frozen=True)
class ProcessorSettings:
    """What a site may set for every job.

    Attributes
    ----------
    qc : QcSettings
        Quality control thresholds by modality.
    preview_size : int
        The longer side of a preview in pixels.
    templates : Path or None
        A folder whose mr.json, ct.json, ... take the place of the metadata templates shipped.
    mr_clean : Path or None
        Rules of MR normalisation in place of those shipped.
    deidentify : DeidentifySettings
        The site key, and what may stay.
    """

    qc: QcSettings = field(default_factory=QcSettings)
    preview_size: int = 896
    templates: Path | None = None
    mr_clean: Path | None = None
    deidentify: DeidentifySettings = field(default_factory=DeidentifySettings)


@dataclass(frozen=True)
class PoolSettings:
    """Limits of the workers.

    Attributes
    ----------
    workers : int
        How many processes at once.
    time_limit_seconds : float
        A job that takes longer is killed.
    memory_limit_mb : int
        Address space of a worker (RLIMIT_AS); 0 for no limit.
    """

    workers: Annotated[int, Ge(1)] = 2
    time_limit_seconds: Annotated[float, Gt(0)] = 1800
    memory_limit_mb: Annotated[int, Ge(0)] = 8192
