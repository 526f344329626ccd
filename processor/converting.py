"""The convert processor: a series of a job becomes verified files, or the job says why not."""

from collections.abc import Mapping
from dataclasses import dataclass

from processor import options
from processor.conversion import Conversion, ConvertedFile
from processor.convert import Settings, convert_series
from processor.errors import OptionError
from processor.model import JobContext, Output, StepResult
from processor.names import named_by
from processor.publish import output_of
from rules.destination import parse_name

OPTIONS = (
    options.choice("format", "nifti", ("nifti", "npz")),
    options.choice("engine", "auto", ("auto", "native", "dcm2niix")),
    options.whole_number("compression", None, 0, 9),
    options.name_template("name"),
)
_KINDS = {".npz": "npz", ".json": "sidecar", ".bval": "bval", ".bvec": "bvec"}


@dataclass(frozen=True)
class Convert:
    """Conversion to NIfTI-1 or NPZ, each file with a JSON sidecar.

    Options: `format` ("nifti" or "npz"), `engine` ("auto", "native" or "dcm2niix"), `compression`
    (0 to 9; 0 writes `.nii`) and `name`, a template of what files are called.
    """

    name: str = "convert"
    version: str = "2"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError` for a wrong option."""
        options.check(self.name, OPTIONS, given)
        if given.get("format") == "npz" and given.get("engine") == "dcm2niix":
            raise OptionError('convert: engine = "dcm2niix" writes format = "nifti" only')

    def run(self, job: JobContext) -> StepResult:
        """Convert, read back and compare; only what matched frame by frame is returned."""
        conversion = convert_series(
            job.source,
            job.folder,
            _stem(job),
            settings=_settings(job.options),
            unverified=job.request.unverified,
            progress=job.progress,
        )
        if conversion.state == "done":
            return _done(job, conversion)
        if conversion.state == "refused":
            summary = f"cannot convert because: {conversion.reason}"
            return StepResult("convert", "refused", summary, {"reason": conversion.reason})
        summary = f"not published: {conversion.reason}"
        return StepResult("convert", "failed", summary, {"attempts": _attempts(conversion)})


def _settings(given: Mapping[str, object]) -> Settings:
    names = ("format", "engine", "compression")
    chosen = {name: options.value_of(OPTIONS, given, name) for name in names}
    return Settings(**chosen)  # type: ignore[arg-type]  # checked by `check_options`


def _stem(job: JobContext) -> str:
    template = options.value_of(OPTIONS, job.options, "name")
    header = job.source.first_header()
    return named_by(parse_name(template), header) if isinstance(template, str) else ""


def _done(job: JobContext, conversion: Conversion) -> StepResult:
    outputs = tuple(output for file in conversion.files for output in _outputs(job, file))
    return StepResult("convert", "done", _summary(conversion), _details(conversion), outputs)


def _outputs(job: JobContext, file: ConvertedFile) -> tuple[Output, ...]:
    return tuple(
        output_of(path, job.folder, _KINDS.get(path.suffix, "nifti"))
        for path in (file.path, *file.beside)
    )


def _summary(conversion: Conversion) -> str:
    """One line: "nifti ok (176/176 frames verified); 1 of 5 slices missing ..."."""
    kind = "npz" if conversion.files[0].path.suffix == ".npz" else "nifti"
    verification = conversion.verification
    matched, total = (verification.matched, verification.frames) if verification else (0, 0)
    if all(file.affine_ras is None for file in conversion.files):
        parts = [f"2D {kind} ok ({matched}/{total + len(conversion.refused)} images verified)"]
    else:
        parts = [f"{kind} ok ({matched}/{total} frames verified)"]
        parts += [f"{len(conversion.files)} files"] if len(conversion.files) > 1 else []
    if conversion.attempts:
        parts.append(f"by {conversion.engine}, since {conversion.attempts[0].reason}")
    parts += conversion.findings
    if conversion.refused:
        reason = next(iter(conversion.refused.values()))
        parts.append(f"{len(conversion.refused)} cannot convert because: {reason}")
    return "; ".join(parts)


def _details(conversion: Conversion) -> dict[str, object]:
    """What the summary rests on; of several files the first stands for shape and place."""
    first = conversion.files[0]
    details: dict[str, object] = {
        **first.details,
        "engine": conversion.engine,
        "files": {file.path.name: list(file.instances) for file in conversion.files},
        "findings": list(conversion.findings),
        "verification": conversion.verification.as_json() if conversion.verification else None,
    }
    if conversion.refused:
        details["refused"] = dict(conversion.refused)
    if conversion.attempts:
        details["attempts"] = _attempts(conversion)
    return details


def _attempts(conversion: Conversion) -> list[dict[str, object]]:
    return [attempt.as_json() for attempt in conversion.attempts]
