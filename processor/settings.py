"""The settings of the PROCESS step. Reading them from a file is the configuration's business."""

from dataclasses import dataclass, field
from pathlib import Path

from processor.qc import QcSettings


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
    """

    qc: QcSettings = field(default_factory=QcSettings)
    preview_size: int = 896
    templates: Path | None = None
