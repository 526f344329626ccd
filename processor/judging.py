"""Judging files that anyone converted: the frames of a series, and what files themselves announce.

`processor.verify` compares; this module only gathers what is to be compared.
"""

import json
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from processor.eligibility import require_images
from processor.errors import NotConvertible
from processor.frames import Frame, frames_of
from processor.geometry import DRIFT_TOLERANCE_MM, LPS_TO_RAS
from processor.plan import Stack, plan
from processor.source import SeriesSource
from processor.verify import SourceFrame, Verification, verify
from processor.written import read_back


@dataclass(frozen=True)
class Expected:
    """What files of a series must hold.

    Attributes
    ----------
    frames : tuple of SourceFrame
        Each frame of the series once.
    missing : tuple of SourceFrame
        Where slices would lie that the series lacks.
    copies : tuple of SourceFrame
        Frames that repeat others pixel for pixel: files hold them all or none.
    rounding_mm : float
        How far the source's own positions lie off a regular grid.
    in_order : bool
        Whether volumes must stand in the order of the series (`needs_order`).
    notes : tuple of str
        What limits the judgement.
    """

    frames: tuple[SourceFrame, ...]
    missing: tuple[SourceFrame, ...] = ()
    copies: tuple[SourceFrame, ...] = ()
    rounding_mm: float = 0.0
    in_order: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """What the files of a series are worth.

    Attributes
    ----------
    notes : tuple of str
        What limits the judgement, and what it does not judge but a reader should know.
    announced : tuple of str
        What sidecars of Safelight beside the files say of them: missing slices, frames left out.
    """

    verification: Verification
    notes: tuple[str, ...] = ()
    announced: tuple[str, ...] = ()


def judge(source: SeriesSource, files: Sequence[Path]) -> Judgement:
    """Compare all files of a series with all its frames.

    Planes without a frame are mismatches, unless a sidecar of Safelight beside the file announces
    them as missing slices.

    Raises
    ------
    NotConvertible
        The series has no images, or its own headers do not say where they belong.
    NotReadable, PixelDataError
        A file or a frame cannot be read.
    """
    expected = source_frames(source)
    verification = _compared(expected, expected.frames, files)
    if expected.copies and not verification.ok:
        with_copies = _compared(expected, (*expected.frames, *expected.copies), files)
        verification = with_copies if with_copies.ok else verification
    findings = tuple(dict.fromkeys(map(str, _announced_all(files, "findings"))))
    return Judgement(verification, (*expected.notes, *_qform_notes(files)), findings)


def _qform_notes(files: Sequence[Path]) -> Iterator[str]:
    """The files whose qform says something else than the sform, which is what is compared."""
    for written in map(read_back, files):
        if written.affine_ras is None or written.qform_ras is None:
            continue
        ends = product(*((0, length - 1) for length in written.shape[:3]), (1,))
        apart = (written.affine_ras - written.qform_ras) @ np.array(list(ends)).T
        worst = float(np.linalg.norm(apart, axis=0).max())
        if worst > DRIFT_TOLERANCE_MM:
            yield (
                f"{written.path.name}: judged by its sform; its qform, which some programs read, "
                f"places voxels up to {worst:.1f} mm elsewhere"
            )


def _compared(
    expected: Expected, frames: Sequence[SourceFrame], files: Sequence[Path]
) -> Verification:
    announced = _announced_all(files, "missing_slices")
    missing = expected.missing if announced else ()
    return verify(
        files,
        frames,
        rounding_mm=expected.rounding_mm,
        missing=missing,
        in_order=expected.in_order,
    )


def source_frames(source: SeriesSource) -> Expected:
    """The frames that files of a series must hold.

    Frames of one volume are those that the planner puts into one. Where it finds no order in the
    series, frames are compared all the same, but volumes cannot be told apart.

    Raises
    ------
    NotConvertible
        The series has no images, or its headers do not say where they belong.
    """
    try:
        stacks = plan(source)
    except NotConvertible as reason:
        frames = _unplanned(source)
        note = f"volumes that are mixed up would not be noticed: {reason}"
        return Expected(tuple(source_frame(frame, None) for frame in frames), notes=(note,))
    found, copies = _without_copies([frame for stack in stacks for frame in _of_stack(stack)])
    copies += [
        source_frame(frame, (stack.label, "copy")) for stack in stacks for frame in stack.repeated
    ]
    rounding = (stack.plan.rounding_mm for stack in stacks if stack.plan is not None)
    return Expected(
        frames=tuple(found),
        missing=tuple(frame for stack in stacks for frame in missing_frames(stack)),
        copies=tuple(copies),
        rounding_mm=max(rounding, default=0.0),
        in_order=needs_order(stacks),
        notes=(f"frames that repeat others pixel for pixel: {len(copies)}",) if copies else (),
    )


def _without_copies(frames: Sequence[SourceFrame]) -> tuple[list[SourceFrame], list[SourceFrame]]:
    """The frames, and those that another file of the same instance holds as well."""
    first: dict[str, SourceFrame] = {}
    found: list[SourceFrame] = []
    copies: list[SourceFrame] = []
    for frame in frames:
        same = first.setdefault(frame.name, frame)
        is_copy = same is not frame and np.array_equal(same.stored(), frame.stored())
        (copies if is_copy else found).append(frame)
    return found, copies


def _of_stack(stack: Stack) -> Iterator[SourceFrame]:
    for t, frame in stack.present:
        yield source_frame(frame, (stack.label, t), stack.label)
    for frame in stack.left_out:
        yield source_frame(frame, (stack.label, "left out"), stack.label)


def needs_order(stacks: Sequence[Stack]) -> bool:
    """Whether the order of volumes means something: not in diffusion, where b-values tell it."""
    return not any("b-value" in stack.told_by for stack in stacks)


def missing_frames(stack: Stack) -> Iterator[SourceFrame]:
    """Where the slices would lie that a stack lacks; their values mean nothing."""
    first = stack.first
    if stack.plan is None or first.matrix_lps is None:
        return
    rows = first.stored().shape[0]
    for k in stack.plan.missing:
        matrix = first.matrix_lps.copy()
        matrix[:, 3] = LPS_TO_RAS @ stack.plan.affine_ras @ [0, rows - 1, k, 1]
        yield SourceFrame(f"missing slice {k}", matrix, None, first.rescale, first.stored)


def source_frame(frame: Frame, volume: Hashable, stack: str = "") -> SourceFrame:
    """A frame as the verifier looks for it, in a volume of a stack."""
    return SourceFrame(frame.name, frame.matrix_lps, volume, frame.rescale, frame.stored, stack)


def _unplanned(source: SeriesSource) -> Sequence[Frame]:
    """The frames of a series that has no order, if each of them tells its place."""
    require_images(source)
    frames = frames_of(source.instances)
    fault = next((frame.fault for frame in frames if frame.fault), "")
    if fault:
        raise NotConvertible(fault)
    unplaced = sum(frame.plane is None for frame in frames)
    if unplaced:
        raise NotConvertible(f"{unplaced} of {len(frames)} frames do not tell their place")
    return frames


def _announced_all(files: Sequence[Path], key: str) -> list[object]:
    return [item for path in files for item in _announced(path, key)]


def _announced(path: Path, key: str) -> Sequence[object]:
    """A list in what Safelight's sidecar says of a file; nothing where there is no such sidecar."""
    sidecar = path.with_name(path.name.removesuffix(".gz")).with_suffix(".json")
    try:
        ours = json.loads(sidecar.read_bytes())["Safelight"][key]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return ()
    return ours if isinstance(ours, list) else ()
