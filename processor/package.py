"""The package processor: a ZIP of what the steps before it made of a series."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from processor import options
from processor.archive import Member, write_archive
from processor.errors import PackageError
from processor.model import JobContext, StepResult
from processor.publish import output_of, sync

FILE_NAME = "package.zip"
LARGEST_MB = 4096
OPTIONS = (
    options.choice("dicom", "no", ("no", "yes")),
    options.whole_number("largest_mb", LARGEST_MB, 1, 1 << 20),
)


@dataclass(frozen=True)
class Package:
    """`package.zip` with the outputs of the steps before it, at the paths of `FileName`.

    Options: `dicom` ("yes" adds the instances as they were received) and `largest_mb`.
    """

    name: str = "package"
    version: str = "1"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError` for a wrong option."""
        options.check(self.name, OPTIONS, given)

    def run(self, job: JobContext) -> StepResult:
        """Write the ZIP, or say why there is none."""
        largest = options.value_of(OPTIONS, job.options, "largest_mb")
        members = list(_members(job))
        path = job.folder / FILE_NAME
        if not members:
            return StepResult("package", "refused", "no package because: there is nothing in it")
        try:
            count = write_archive(path, members, int(str(largest)) * 1_000_000)
        except PackageError as reason:
            return StepResult("package", "refused", f"no package because: {reason}")
        output = output_of(path, job.folder, "package")
        summary = f"{count} file{'s' if count != 1 else ''}"
        return StepResult("package", "done", summary, {"files": count}, (output,))


def _members(job: JobContext) -> Iterator[Member]:
    for step in job.earlier:
        for output in step.outputs:
            yield Member(job.folder / output.path, str(job.published / output.path))
    if options.value_of(OPTIONS, job.options, "dicom") == "yes":
        for file in _received(job):
            yield Member(file, str(job.published / "dicom" / file.name))


def _received(job: JobContext) -> Sequence[Path]:
    """The instances, unless they are an output of a step before, and so in the package."""
    return [file for file in job.request.files if file.parent != job.folder]


def package_studies(studies: Sequence[Path], out: Path, largest_bytes: int) -> int:
    """Write everything published of studies into one ZIP, atomically; packages are left out.

    Parameters
    ----------
    studies : sequence of Path
        Their folders below results, whose names the paths in the package begin with.

    Returns
    -------
    int
        How many files it holds.

    Raises
    ------
    PackageError
        There is nothing, or too much; what `out` was before stays.
    """
    found = [
        Member(path, path.relative_to(study.parent).as_posix())
        for study in studies
        for path in _files(study)
    ]
    if not found:
        raise PackageError("nothing is published there")
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".package-") as folder:
        temporary = Path(folder) / out.name
        count = write_archive(temporary, found, largest_bytes)
        sync(temporary)
        temporary.replace(out)
    sync(out.parent)
    return count


def _files(study: Path) -> Iterator[Path]:
    for path in study.rglob("*"):
        hidden = path.name.startswith(".") or path.suffix == ".zip"
        if path.is_file() and not path.is_symlink() and not hidden:
            yield path
