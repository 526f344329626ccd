"""What an engine is asked and what it answers: files of a planned series, not yet believed."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from processor.conversion import ConvertedFile, Format
from processor.names import series_stem
from processor.plan import Stack
from processor.source import SeriesSource


@dataclass(frozen=True)
class Request:
    """What an engine is asked: write these stacks into `folder`."""

    stacks: Sequence[Stack]
    source: SeriesSource
    folder: Path
    stem: str
    format: Format
    compression: int
    progress: Callable[[float], None]

    def path(self, label: str) -> Path:
        """The file of what has this label."""
        stem = self.stem or series_stem(self.source.first_header())
        name = "_".join(filter(None, (stem, label)))
        nifti = ".nii.gz" if self.compression else ".nii"
        return self.folder / (name + (nifti if self.format == "nifti" else ".npz"))


@dataclass(frozen=True)
class Made:
    """What an engine has written.

    Attributes
    ----------
    stacks : sequence of Stack
        Those whose frames must be in `files`.
    refused : mapping
        Images that could not be converted: SOP Instance UID to reason.
    """

    files: tuple[ConvertedFile, ...]
    stacks: Sequence[Stack]
    refused: Mapping[str, str] = field(default_factory=dict)
