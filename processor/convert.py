"""The convert processor: a regular series becomes verified NIfTI files, any other a reason.

It does not resample, fill gaps or choose among volumes; what is not regular is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processor import options
from processor.eligibility import Route, route
from processor.errors import NotConvertible, PixelDataError
from processor.geometry import Plane, StackPlan, frame_matrix_lps, plan_stack
from processor.headers import numbers, text
from processor.intensity import Rescale, is_inverted, is_quantitative, rescale_of, upright
from processor.model import JobContext, Output, StepResult
from processor.names import series_stem
from processor.nifti import Volume, write_image, write_nifti
from processor.planes import (
    turned_affine,
    turned_planes,
    turned_shape,
    turns_to_ras,
    upright_planes,
)
from processor.publish import output_of
from processor.sidecar import sidecar, write_sidecar
from processor.source import Instance
from processor.verify import (
    SourceFrame,
    Verification,
    position_rounding_mm,
    verify_image,
    verify_volume,
)

OPTIONS = (
    options.choice("format", "nifti", ("nifti",)),
    options.whole_number("compression", 1, 0, 9),
)


@dataclass(frozen=True)
class Convert:
    """Conversion to NIfTI-1 (`.nii.gz`) with a JSON sidecar.

    Options: `format` ("nifti"), `compression` (0 to 9, default 1, see `processor.gzip_file`).
    """

    name: str = "convert"
    version: str = "1"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError` for a wrong option."""
        options.check(self.name, OPTIONS, given)

    def run(self, job: JobContext) -> StepResult:
        """Convert, read back and compare; only what matched frame by frame is returned."""
        try:
            chosen = route(job.source)
            if chosen.is_stack:
                return _convert_stack(job, chosen)
            return _convert_images(job, chosen.instances)
        except (NotConvertible, PixelDataError) as reason:
            return _refused(str(reason))


def _refused(reason: str) -> StepResult:
    return StepResult("convert", "refused", f"cannot convert because: {reason}", {"reason": reason})


def _unverified(verification: Verification) -> StepResult:
    summary = (
        f"not published: only {verification.matched} of {verification.frames} frames of the "
        "written file equal the source"
    )
    return StepResult("convert", "failed", summary, {"verification": verification.as_json()})


def _compression(job: JobContext) -> int:
    level = options.value_of(OPTIONS, job.options, "compression")
    return level if isinstance(level, int) else 1


def _convert_stack(job: JobContext, chosen: Route) -> StepResult:
    plan = plan_stack(chosen.planes)
    ordered = [chosen.instances[index] for index in plan.order]
    for done, instance in enumerate(ordered):
        instance.frame()
        job.progress(0.4 * (done + 1) / len(ordered))
    volume = _volume(ordered, plan)
    path = job.folder / f"{series_stem(ordered[0].header)}.nii.gz"
    write_nifti(path, volume, _compression(job))
    job.progress(0.8)
    positions = np.array([chosen.planes[index].position_lps for index in plan.order])
    frames = _source_frames(chosen.instances, chosen.planes)
    verification = verify_volume(path, frames, position_rounding_mm(positions))
    if not verification.ok:
        return _unverified(verification)
    details = _stack_details(ordered, plan, volume, verification)
    beside = _write_sidecar(path, ordered[0], details)
    count = verification.frames
    return StepResult(
        "convert",
        "done",
        f"nifti ok ({count}/{count} frames verified)",
        details | {"files": {path.name: [instance.uid for instance in ordered]}},
        (output_of(path, job.folder, "nifti"), output_of(beside, job.folder, "sidecar")),
    )


def _volume(ordered: Sequence[Instance], plan: StackPlan) -> Volume:
    """Stored values, float32 where slopes vary; 3D acquisitions are turned as dcm2niix does."""
    rescales = [rescale_of(instance.header) for instance in ordered]
    varying = len(set(rescales)) > 1
    frames = [
        partial(_values, instance) if varying else partial(_stored, instance)
        for instance in ordered
    ]
    dtype = np.result_type(*{instance.frame().dtype for instance in ordered})
    rows, columns = ordered[0].frame().shape
    shape: tuple[int, ...] = (columns, rows, len(ordered))
    affine, planes = plan.affine_ras, upright_planes(frames)
    if len(ordered) > 1 and all(_is_3d_acquisition(instance) for instance in ordered):
        turns = turns_to_ras(affine)
        affine = turned_affine(affine, shape, turns)
        planes = turned_planes(frames, turns)
        shape = turned_shape(shape, turns)
    return Volume(
        shape=shape,
        dtype=np.dtype(np.float32) if varying else dtype,
        colour=False,
        planes=planes,
        affine_ras=affine,
        spacing_mm=tuple(float(mm) for mm in np.linalg.norm(affine[:3, :3], axis=0)),
        rescale=Rescale() if varying else rescales[0],
    )


def _values(instance: Instance) -> NDArray[Any]:
    return real_values(instance).astype(np.float32)


def _is_3d_acquisition(instance: Instance) -> bool:
    return text(instance.header, "MRAcquisitionType") == "3D"


def _stored(instance: Instance) -> NDArray[Any]:
    return upright(instance.header, instance.frame())


def real_values(instance: Instance) -> NDArray[Any]:
    """The source's values after rescale (and MONOCHROME1), shape (rows, columns), float64."""
    rescale = rescale_of(instance.header)
    return np.asarray(_stored(instance) * rescale.slope + rescale.intercept, dtype=np.float64)


def _source_frames(instances: Sequence[Instance], planes: Sequence[Plane]) -> Iterator[SourceFrame]:
    for instance, plane in zip(instances, planes, strict=True):
        yield SourceFrame(frame_matrix_lps(plane), real_values(instance))


def _stack_details(
    ordered: Sequence[Instance], plan: StackPlan, volume: Volume, verification: Verification
) -> dict[str, object]:
    return {
        "engine": "native",
        "shape": list(volume.shape),
        "spacing_mm": [round(value, 6) for value in plan.spacing_mm],
        "affine_ras": np.asarray(volume.affine_ras).round(9).tolist(),
        "obliquity_degrees": round(plan.obliquity_degrees, 3),
        "verification": verification.as_json(),
    } | _value_notes(ordered[0])


def _value_notes(instance: Instance) -> dict[str, object]:
    """What was or was not done to the values, for the sidecar."""
    header = instance.header
    notes: dict[str, object] = {}
    if is_inverted(header):
        notes["monochrome1_inverted"] = not is_quantitative(header)
    if "ModalityLUTSequence" in header:
        notes["modality_lut_applied"] = False
    return notes


def _write_sidecar(path: Path, instance: Instance, details: Mapping[str, object]) -> Path:
    beside = path.with_name(path.name.removesuffix(".nii.gz") + ".json")
    ours = {"ConversionSoftware": "Safelight", "Safelight": dict(details)}
    write_sidecar(beside, sidecar(instance.header, ours))
    return beside


@dataclass(frozen=True)
class _Image:
    """A projection image that was written and matched, or the reason why it was not."""

    uid: str
    reason: str = ""
    outputs: tuple[Output, ...] = ()


def _convert_images(job: JobContext, instances: Sequence[Instance]) -> StepResult:
    images = []
    for index, instance in enumerate(instances):
        images.append(_convert_image(job, instance, index + 1))
        job.progress((index + 1) / len(instances))
    written = [image for image in images if image.outputs]
    unwritten = [image for image in images if image.reason]
    if not written:
        return _refused(unwritten[0].reason)
    summary = f"2D nifti ok ({len(written)}/{len(images)} images verified)"
    if unwritten:
        summary += f"; {len(unwritten)} cannot convert because: {unwritten[0].reason}"
    details = {
        "engine": "native",
        "files": {image.outputs[0].path: [image.uid] for image in written},
        "refused": {image.uid: image.reason for image in unwritten},
        "verification": Verification(len(images), len(written)).as_json(),
    }
    outputs = tuple(output for image in written for output in image.outputs)
    return StepResult("convert", "done", summary, details, outputs)


def _convert_image(job: JobContext, instance: Instance, number: int) -> _Image:
    try:
        values = _stored(instance)
    except PixelDataError as reason:
        return _Image(instance.uid, str(reason))
    path = job.folder / f"{series_stem(instance.header)}_{number:04d}.nii.gz"
    spacing, origin = _image_spacing(instance)
    image = values[::-1].T[:, :, np.newaxis]
    write_image(path, image, spacing, rescale_of(instance.header), _compression(job))
    if not verify_image(path, real_values(instance)).ok:
        path.unlink()
        return _Image(instance.uid, f"the written file differs from instance {instance.uid}")
    details = _image_details(instance, spacing, origin)
    beside = _write_sidecar(path, instance, details)
    outputs = (output_of(path, job.folder, "nifti"), output_of(beside, job.folder, "sidecar"))
    return _Image(instance.uid, outputs=outputs)


def _image_details(
    instance: Instance, spacing: tuple[float, float], origin: str
) -> dict[str, object]:
    return {
        "anatomical_orientation": None,
        "rows_stored": "bottom to top",
        "spacing_mm": list(spacing),
        "spacing_from": origin,
    } | _value_notes(instance)


def _image_spacing(instance: Instance) -> tuple[tuple[float, float], str]:
    """The spacing between columns and between rows, and the element that told it."""
    for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing"):
        found = numbers(instance.header, keyword)
        if len(found) == 2 and min(found) > 0:
            return (found[1], found[0]), keyword
    return (1.0, 1.0), "unknown, 1 assumed"
