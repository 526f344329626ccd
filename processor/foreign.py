"""The dcm2niix engine: its files under our names, with our notes in their sidecars."""

from pathlib import Path

from processor.conversion import ConvertedFile
from processor.dcm2niix import Converted, run_dcm2niix
from processor.engine import Made, Request
from processor.errors import NotConvertible
from processor.sidecar import without_people, write_sidecar
from processor.voxels import Placed
from processor.written import read_back


def by_dcm2niix(request: Request) -> Made:
    """Have dcm2niix convert the series.

    Raises
    ------
    NotConvertible
        It wrote nothing, or it is not asked: for NPZ, and for images without a place in the
        patient, whose layout it changes from one image to the next.
    """
    if request.format != "nifti":
        raise NotConvertible("dcm2niix writes NIfTI only")
    if any(stack.plan is None for stack in request.stacks):
        raise NotConvertible("dcm2niix is not used for images without a place in the patient")
    work = request.folder / ".dcm2niix"
    work.mkdir()
    converted = run_dcm2niix(_paths(request), work, request.compression)
    instances = tuple(dict.fromkeys(_uids(request)))
    files = tuple(_taken(request, each, instances) for each in converted)
    return Made(files, request.stacks)


def _paths(request: Request) -> list[Path]:
    """The files of all frames that are to be converted, each once."""
    return list(
        dict.fromkeys(frame.instance.path for stack in request.stacks for _, frame in stack.present)
    )


def _uids(request: Request) -> list[str]:
    return [frame.instance.uid for stack in request.stacks for _, frame in stack.present]


def _taken(request: Request, converted: Converted, instances: tuple[str, ...]) -> ConvertedFile:
    """A file that dcm2niix wrote, under the name ours would have."""
    path = request.path(converted.suffix.strip("_"))
    converted.image.rename(path)
    stem = path.name.removesuffix(".gz").removesuffix(".nii")
    gradients = [
        table.rename(path.with_name(f"{stem}{table.suffix}"))
        for table in (converted.bval, converted.bvec)
        if table is not None
    ]
    written = read_back(path)
    shape = written.shape[:3] if written.shape[3] == 1 else written.shape
    placed = Placed(shape, written.spacing_mm, written.affine_ras)
    details = {
        "engine": "dcm2niix",
        "shape": list(shape),
        "spacing_mm": [round(value, 6) for value in placed.spacing_mm],
        "affine_ras": placed.affine,
    }
    beside = path.with_name(f"{stem}.json")
    write_sidecar(beside, {**without_people(converted.sidecar), "Safelight": details})
    return ConvertedFile(
        path=path,
        beside=(beside, *gradients),
        shape=shape,
        spacing_mm=placed.spacing_mm,
        affine_ras=placed.affine,
        instances=instances,
        details=details,
    )
