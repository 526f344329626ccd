"""The native engine: planned stacks become NIfTI or NPZ in one pass over decoded frames."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from processor.conversion import ConvertedFile
from processor.diffusion import b_value_of
from processor.echo_planar import read_out
from processor.engine import Made, Request
from processor.errors import NotConvertible, PixelDataError
from processor.gradients import write_gradients
from processor.intensity import is_inverted, is_quantitative
from processor.nifti import write_nifti
from processor.npz import write_npz
from processor.plan import Stack
from processor.sidecar import sidecar, write_sidecar
from processor.voxels import Placed, image_spacing, nifti_volume

_WRITING = 0.7
"""The part of a conversion's time that writing takes; the rest is verifying."""


def natively(request: Request) -> Made:
    """Write every stack as it was planned, one file each; of an NPZ one for each volume.

    An image that cannot be decoded is left out with its reason; a stack never is: half a series
    is not a result.

    Raises
    ------
    NotConvertible, PixelDataError
        A stack cannot be written.
    """
    stacks = list(_files_of(request))
    files: list[ConvertedFile] = []
    written: list[Stack] = []
    refused: dict[str, str] = {}
    for number, stack in enumerate(stacks):
        try:
            files.append(_write(request, request.path(stack.label), stack))
            written.append(stack)
        except (NotConvertible, PixelDataError) as reason:
            if stack.plan is not None:
                raise
            refused[stack.first.instance.uid] = str(reason)
        request.progress(_WRITING * (number + 1) / len(stacks))
    return Made(tuple(files), written, refused)


def _files_of(request: Request) -> Iterator[Stack]:
    """The stacks as files hold them."""
    for stack in request.stacks:
        if request.format == "nifti" or len(stack.frames) == 1:
            yield stack
        else:
            yield from _volumes_apart(stack)


def _volumes_apart(stack: Stack) -> Iterator[Stack]:
    """Each volume as a stack of its own, called by its b-value or its number."""
    singles = [replace(stack, frames=(volume,)) for volume in stack.frames]
    b_values = [b_value_of(single.first.header) for single in singles]
    by_b_value = None not in b_values and len(set(b_values)) == len(b_values)
    for t, (single, b_value) in enumerate(zip(singles, b_values, strict=True), 1):
        name = f"b{b_value:g}" if by_b_value else f"t{t:03d}"
        label = "_".join(filter(None, (stack.label, name)))
        yield replace(single, label=label)


def _write(request: Request, path: Path, stack: Stack) -> ConvertedFile:
    gradients: tuple[Path, ...] = ()
    block_ends: Sequence[int] = ()
    if request.format == "npz":
        placed = write_npz(path, stack, request.compression)
    else:
        volume = nifti_volume(stack)
        block_ends = write_nifti(path, volume, request.compression)
        placed = Placed(volume.shape, volume.spacing_mm, volume.affine_ras)
        gradients = write_gradients(path, stack, volume.affine_ras)
    details = _details(stack, placed)
    beside = path.with_name(path.name.removesuffix(".gz")).with_suffix(".json")
    ours: dict[str, object] = {"ConversionSoftware": "Safelight", "Safelight": details}
    volumes = [[frame.header for frame in volume if frame] for volume in stack.frames]
    write_sidecar(beside, sidecar(volumes, read_out(stack, placed.affine_ras) | ours))
    return ConvertedFile(
        path=path,
        beside=(beside, *gradients),
        shape=placed.shape,
        spacing_mm=placed.spacing_mm,
        affine_ras=placed.affine,
        instances=tuple(dict.fromkeys(frame.instance.uid for _, frame in stack.present)),
        findings=stack.findings,
        details=details,
        block_ends=block_ends,
    )


def _details(stack: Stack, placed: Placed) -> dict[str, object]:
    """What the sidecar says of the conversion."""
    details: dict[str, object] = {
        "engine": "native",
        "shape": list(placed.shape),
        "spacing_mm": [round(value, 6) for value in placed.spacing_mm],
        "affine_ras": placed.affine,
        **placed.notes,
    }
    if stack.plan is None:
        _, origin = image_spacing(stack.first)
        details |= {"anatomical_orientation": None, "spacing_from": origin}
    else:
        details["obliquity_degrees"] = round(stack.plan.obliquity_degrees, 3)
        details["missing_slices"] = list(stack.plan.missing)
    if stack.told_by:
        details["volumes_told_by"] = list(stack.told_by)
    if stack.findings:
        details["findings"] = list(stack.findings)
    return details | _value_notes(stack)


def _value_notes(stack: Stack) -> dict[str, object]:
    """What was or was not done to the values."""
    header = stack.first.header
    notes: dict[str, object] = {}
    if is_inverted(header):
        notes["monochrome1_inverted"] = not is_quantitative(header)
    if "ModalityLUTSequence" in header:
        notes["modality_lut_applied"] = False
    return notes
