"""The verifier: reads converted files back and compares them with the source, frame by frame.

It trusts nothing an engine computed: frames are placed again from their own headers, and every
frame must lie in one plane of one file, with equal values, and every plane must hold one frame.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from processor.geometry import DRIFT_TOLERANCE_MM, LPS_TO_RAS, Array
from processor.intensity import Rescale
from processor.placing import Spot, spot_of
from processor.written import Written, read_back

_NAMED = 3


@dataclass(frozen=True, eq=False, slots=True)
class SourceFrame:
    """One frame as the source tells it.

    Attributes
    ----------
    name : str
        What the report calls it: its SOP Instance UID, with the frame's number where it has one.
    matrix_lps : ndarray, shape (4, 4), or None
        (column, row, 0, 1) to millimetres, LPS: `processor.geometry.frame_matrix_lps`; None
        without a place in the patient.
    volume : hashable
        Equal for the frames of one volume (one echo, b-value, time ...).
    rescale : Rescale
        From stored to real values.
    stored : callable
        Returns the values to be found, shape (rows, columns) or (rows, columns, 3); cheap, since
        it is called more than once.
    stack : str
        Volumes have an order within one stack; those of two echoes have none.
    """

    name: str
    matrix_lps: Array | None
    volume: Hashable
    rescale: Rescale
    stored: Callable[[], NDArray[Any]]
    stack: str = ""


@dataclass(frozen=True)
class Verification:
    """What the comparison found.

    Attributes
    ----------
    frames, matched : int
        Of the source: all, and those found with equal values where they belong.
    value_different, off_grid, repeated : int
        Frames whose place holds other values, that lie on no plane of the files, and that
        another frame equals at the same place.
    unfilled, mixed : int
        Planes of the files that hold no frame, and volumes with frames of several volumes.
    reordered : int
        Files whose volumes stand in another order than the frames, where that must not be.
    worst_residual_voxel : float
        The largest distance of a matched frame from the voxel grid.
    named : mapping
        The first few of each kind.
    """

    frames: int
    matched: int = 0
    value_different: int = 0
    off_grid: int = 0
    repeated: int = 0
    unfilled: int = 0
    mixed: int = 0
    reordered: int = 0
    worst_residual_voxel: float = 0.0
    named: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether frames and planes match one to one, volume by volume."""
        whole = self.matched == self.frames and not self.unfilled and not self.mixed
        return self.frames > 0 and whole and not self.reordered

    @property
    def words(self) -> str:
        """The result for people: "8 of 8 frames equal the source"."""
        said = [f"{self.matched} of {self.frames} frames equal the source"]
        if self.unfilled:
            planes = "1 plane holds" if self.unfilled == 1 else f"{self.unfilled} planes hold"
            said.append(f"{planes} no frame of it")
        if self.mixed:
            said.append(f"{self.mixed} volumes hold frames of several")
        if self.reordered:
            said.append("volumes stand in another order")
        return ", ".join(said)

    def as_json(self) -> dict[str, object]:
        """For manifests and sidecars."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class _Candidate:
    frame: SourceFrame
    spot: Spot


def verify(
    files: Sequence[Path],
    frames: Sequence[SourceFrame],
    *,
    rounding_mm: float = 0.0,
    missing: Sequence[SourceFrame] = (),
    in_order: bool = True,
    block_ends: Mapping[Path, Sequence[int]] = MappingProxyType({}),
) -> Verification:
    """Compare the files of one series with its frames.

    For a frame with matrix M and a file with affine A:
    ijk = inv(A) . diag(-1, -1, 1, 1) . M . [column, row, 0, 1]. The frame matches when every pixel
    falls on a voxel within 0.02 voxel, they fill one plane, and the values are equal. Where the
    source's own positions are rounded, a pixel may lie off by twice that rounding, but never by
    more than 0.1 mm. Images without a place are compared in their order.

    Parameters
    ----------
    files : sequence of Path
        All NIfTI or NPZ files of the series.
    frames : sequence of SourceFrame
        All frames that must be in them; those of 4D files in the order of the volumes.
    rounding_mm : float
        `processor.stacks.position_rounding_mm` of the source; 0 where positions are exact.
    missing : sequence of SourceFrame
        Slices known to be missing: where they belong, planes may hold one value all over.
    in_order : bool
        Whether the volumes of a file must stand in the order of the frames. Those of diffusion
        need not: the b-values beside the file follow its own order.
    block_ends : mapping of Path to sequence of int
        Where compressed blocks end in files for which that is known: they are read faster.

    Raises
    ------
    NotReadable
        A file cannot be read back.
    PixelDataError
        A frame of the source cannot be decoded.
    """
    comparison = _Comparison(frames)
    for path in files:
        written = read_back(path, block_ends.get(path, ()))
        if written.affine_ras is None:
            comparison.compare_images(written)
        else:
            allowed_mm = min(2 * rounding_mm, DRIFT_TOLERANCE_MM)
            blank = {
                candidate.spot.index for candidate in _candidates(written, missing, allowed_mm)
            }
            comparison.compare_volume(written, _candidates(written, frames, allowed_mm), blank)
    return comparison.result(in_order=in_order)


def _candidates(
    written: Written, frames: Sequence[SourceFrame], allowed_mm: float
) -> list[_Candidate]:
    """The frames whose pixels are voxels of the file."""
    if written.affine_ras is None:
        return []
    inverse = np.linalg.inv(written.affine_ras) @ LPS_TO_RAS
    voxel_mm = np.linalg.norm(written.affine_ras[:3, :3], axis=0)
    known: dict[tuple[bytes, tuple[int, ...]], Spot | None] = {}
    found = []
    for frame in frames:
        if frame.matrix_lps is None:
            continue
        key = (frame.matrix_lps.tobytes(), frame.stored().shape[:2])
        if key not in known:
            placed = inverse @ frame.matrix_lps
            known[key] = spot_of(placed, key[1], written.shape, voxel_mm, allowed_mm)
        spot = known[key]
        if spot is not None:
            found.append(_Candidate(frame, spot))
    return found


class _Comparison:
    """What is known so far of each frame and each plane."""

    def __init__(self, frames: Sequence[SourceFrame]) -> None:
        self._frames = frames
        self._matched: dict[SourceFrame, Spot | None] = {}
        self._placed: dict[SourceFrame, list[tuple[Path, int, int]]] = defaultdict(list)
        self._holders: dict[tuple[Path, int, int], list[SourceFrame]] = defaultdict(list)
        self._volumes: dict[tuple[Path, int], set[Hashable]] = defaultdict(set)
        self._unfilled: list[str] = []

    def compare_volume(
        self,
        written: Written,
        candidates: Sequence[_Candidate],
        blank: Collection[int],
    ) -> None:
        """Look for the candidates in a file, plane by plane."""
        axes = Counter(candidate.spot.axis for candidate in candidates)
        axis = axes.most_common(1)[0][0] if axes else 2
        waiting: dict[int, list[_Candidate]] = defaultdict(list)
        for candidate in candidates:
            place = (written.path, candidate.spot.axis, candidate.spot.index)
            self._placed[candidate.frame].append(place)
            if candidate.spot.axis == axis and candidate.frame not in self._matched:
                waiting[candidate.spot.index].append(candidate)
        for index, t, plane in _across(written, axis):
            found = self._holder(written, plane, waiting[index], t)
            if found is not None:
                waiting[index].remove(found)
                self._take(written, found, axis, index, t)
            elif index not in blank or not _is_constant(plane):
                self._unfilled.append(f"{written.path.name} plane {index} of volume {t}")

    def _holder(
        self, written: Written, plane: NDArray[Any], waiting: Sequence[_Candidate], t: int
    ) -> _Candidate | None:
        """The frame a plane holds: of the volume its neighbours belong to, if it may be."""
        volumes = self._volumes[written.path, t]
        likely = [candidate for candidate in waiting if candidate.frame.volume in volumes]
        others = [candidate for candidate in waiting if candidate.frame.volume not in volumes]
        for candidate in (*likely, *others):
            stored = candidate.spot.upright(plane)
            if _holds(written, stored, candidate.frame):
                return candidate
        return None

    def _take(self, written: Written, found: _Candidate, axis: int, index: int, t: int) -> None:
        self._matched[found.frame] = found.spot
        self._holders[written.path, axis, index].append(found.frame)
        # Empty slices look alike in every volume: they tell nothing of theirs.
        if not _is_constant(found.frame.stored()):
            self._volumes[written.path, t].add(found.frame.volume)

    def compare_images(self, written: Written) -> None:
        """Compare images without a place, in their order."""
        step = -1 if written.rows_from_bottom else 1
        waiting = [
            frame
            for frame in self._frames
            if frame.matrix_lps is None and frame not in self._matched
        ]
        for number, plane in enumerate(written.planes()):
            frame = next((item for item in waiting if _holds(written, plane[::step], item)), None)
            if frame is None:
                self._unfilled.append(f"{written.path.name} plane {number}")
            else:
                waiting.remove(frame)
                self._matched[frame] = None

    def result(self, *, in_order: bool) -> Verification:
        """The counts, and the first of each kind."""
        named: dict[str, list[str]] = {
            "value_different": [],
            "off_grid": [],
            "repeated": [],
            "unfilled": self._unfilled,
            "mixed": [
                f"{path.name} volume {t}"
                for (path, t), volumes in self._volumes.items()
                if len(volumes) > 1
            ],
            "reordered": self._reordered() if in_order else [],
        }
        for frame in self._frames:
            if frame not in self._matched:
                named[self._kind(frame)].append(frame.name)
        residuals = [spot.residual for spot in self._matched.values() if spot is not None]
        return Verification(
            frames=len(self._frames),
            matched=len(self._matched),
            **{kind: len(names) for kind, names in named.items()},
            worst_residual_voxel=round(max(residuals, default=0.0), 6),
            named={kind: tuple(names[:_NAMED]) for kind, names in named.items() if names},
        )

    def _reordered(self) -> list[str]:
        """The files whose volumes do not stand in the order in which the frames name them."""
        stacks = {frame.volume: frame.stack for frame in self._frames}
        rank = {volume: at for at, volume in enumerate(stacks)}
        order: dict[tuple[Path, str], list[int]] = defaultdict(list)
        for path, t in sorted(self._volumes):
            volumes = self._volumes[path, t]
            for volume in volumes if len(volumes) == 1 else ():
                order[path, stacks[volume]].append(rank[volume])
        wrong = [path.name for (path, _), ranks in order.items() if ranks != sorted(ranks)]
        return list(dict.fromkeys(wrong))

    def _kind(self, frame: SourceFrame) -> str:
        """What is wrong with a frame that was not found."""
        if frame.matrix_lps is None:
            return "value_different"
        if frame not in self._placed:
            return "off_grid"
        twins = (twin for place in self._placed[frame] for twin in self._holders[place])
        same = any(np.array_equal(twin.stored(), frame.stored()) for twin in twins)
        return "repeated" if same else "value_different"


def _across(written: Written, axis: int) -> Iterator[tuple[int, int, NDArray[Any]]]:
    """The planes across an axis: index, volume, and the plane with the slower axis first."""
    slices = written.shape[2]
    if axis == 2:
        for number, plane in enumerate(written.planes()):
            yield number % slices, number // slices, plane
        return
    planes = written.planes()
    for t in range(written.shape[3]):
        volume = np.stack([next(planes) for _ in range(slices)])  # [k, j, i]
        for index in range(written.shape[axis]):
            yield index, t, volume.take(index, 2 - axis)


def _is_constant(plane: NDArray[Any]) -> bool:
    if plane.size == 0:
        return True
    first = plane.flat[0]
    return bool((plane[len(plane) // 2] == first).all() and (plane == first).all())


def _holds(written: Written, stored: NDArray[Any], frame: SourceFrame) -> bool:
    return written.equals(stored, frame.stored(), frame.rescale)
