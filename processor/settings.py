"""The settings of the PROCESS step. Reading them from a file is the configuration's business."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Annotated

from annotated_types import Ge, Gt


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
    """

    qc: QcSettings = field(default_factory=QcSettings)
    preview_size: int = 896
    templates: Path | None = None
    mr_clean: Path | None = None


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
