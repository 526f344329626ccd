"""What a conversion is asked, and what it answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from processor.verify import Verification

Format = Literal["nifti", "npz"]
Engine = Literal["auto", "native", "dcm2niix"]
State = Literal["done", "refused", "unverified"]


@dataclass(frozen=True)
class ConvertedFile:
    """One verified volume or image.

    Attributes
    ----------
    path : Path
        The NIfTI or NPZ.
    beside : tuple of Path
        What belongs to it: the JSON sidecar, bval and bvec.
    shape : tuple of int
        As in the file: (columns, rows, slices[, volumes]) of a NIfTI, (Z, Y, X) of an NPZ.
    spacing_mm : tuple of float
        Between voxel centres along the first three axes of `shape`.
    affine_ras : list of list of float, or None
        Voxel indices (i, j, k, 1) to millimetres in RAS, of an NPZ those of
        data.transpose(2, 1, 0); None for an image without a place in the patient.
    instances : tuple of str
        The SOP Instance UIDs whose frames it holds.
    findings : tuple of str
        What a person should know: missing slices, shear, repeated or left out frames.
    details : mapping
        The rest of what the sidecar says under `Safelight`.
    block_ends : sequence of int
        Where compressed blocks end in the file, where that is known: for quick reading.
    """

    path: Path
    beside: tuple[Path, ...]
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    affine_ras: list[list[float]] | None
    instances: tuple[str, ...]
    findings: tuple[str, ...] = ()
    details: Mapping[str, object] = field(default_factory=dict)
    block_ends: Sequence[int] = ()


@dataclass(frozen=True)
class Attempt:
    """An engine whose files did not match the source, and where they are kept."""

    engine: str
    reason: str
    verification: Verification | None = None
    kept: Path | None = None

    def as_json(self) -> dict[str, object]:
        """For manifests and the ledger."""
        report = self.verification.as_json() if self.verification else None
        return {"engine": self.engine, "reason": self.reason, "verification": report}


@dataclass(frozen=True)
class Conversion:
    """What became of one series.

    Attributes
    ----------
    state : {"done", "refused", "unverified"}
        "refused": no engine could convert it, and `reason` is the true one; "unverified": files
        were made but did not match the source, and are not among `files`.
    engine : str
        The one that made `files`.
    files : tuple of ConvertedFile
        Every one verified frame by frame.
    refused : mapping
        Images of the series that could not be converted: SOP Instance UID to reason.
    verification : Verification or None
        Of all files together against all frames of the series.
    attempts : tuple of Attempt
        Engines that were tried before and did not match.
    """

    state: State
    reason: str = ""
    engine: str = ""
    files: tuple[ConvertedFile, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)
    verification: Verification | None = None
    attempts: tuple[Attempt, ...] = ()

    @property
    def findings(self) -> tuple[str, ...]:
        """The findings of all files, each once."""
        return tuple(dict.fromkeys(text for file in self.files for text in file.findings))
