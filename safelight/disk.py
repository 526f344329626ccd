"""How full the disk is, what follows from it, and how long it will last.

The stages come one after another, and each holds what those before it hold:

ample             nothing
warn              a person is told
pause_retrieves   no retrieve begins
pause_processing  no job begins
refuse            instances are refused with 0xA700, by `listener.spool` itself

A stage begins below its mark of free bytes and ends a quarter above it, so that a disk that
hovers at a mark does not switch with every file. Retrieves and reception fill the spool, jobs fill
the results; where these are two filesystems, each counts for its own stages.
"""

import logging
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from ledger.rows import Growth
from listener.settings import RELIEF
from safelight.settings import StorageSettings

if TYPE_CHECKING:  # to write is not for those who only want to know how full the disk is
    from ledger.disk_stages import DiskStages

logger = logging.getLogger(__name__)

Stage = Literal["ample", "warn", "pause_retrieves", "pause_processing", "refuse"]
STAGES: tuple[Stage, ...] = get_args(Stage)

NO_GROWTH = Growth(0, 0, 1.0)
_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class Volume:
    """A filesystem: which one, and its bytes."""

    device: int
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class DiskState:
    """What people are told of the disk.

    Attributes
    ----------
    stage
        What is held up.
    total_bytes, free_bytes
        Of the spool's filesystem or that of the results, whichever has less free.
    hours_left
        Until instances are refused or nothing can be published, if all goes on as in the last
        24 hours; None while nothing grows.
    """

    stage: Stage
    total_bytes: int
    free_bytes: int
    hours_left: float | None


def volume_of(folder: Path) -> Volume:
    """The filesystem that `folder` is on, or will be once it is made."""
    while not folder.exists():
        folder = folder.parent
    status = os.statvfs(folder)
    free, total = status.f_bavail * status.f_frsize, status.f_blocks * status.f_frsize
    return Volume(folder.stat().st_dev, total, free)


def next_stage(spool: Volume, results: Volume, storage: StorageSettings, before: Stage) -> Stage:
    """The stage that follows `before`, with so much free."""
    marks: Mapping[Stage, tuple[int, int]] = {
        "warn": (min(spool.free_bytes, results.free_bytes), storage.free_bytes_warn),
        "pause_retrieves": (spool.free_bytes, storage.free_bytes_retrieve),
        "pause_processing": (results.free_bytes, storage.free_bytes_process),
        "refuse": (spool.free_bytes, storage.free_bytes_min),
    }
    for stage in reversed(STAGES[1:]):
        free, mark = marks[stage]
        has_begun = STAGES.index(before) >= STAGES.index(stage)
        if free < (mark * RELIEF if has_begun else mark):
            return stage
    return "ample"


def disk_state(storage: StorageSettings, before: str | None, growth: Growth) -> DiskState:
    """What people are told of the disk now.

    Parameters
    ----------
    before
        The stage that the ledger has; None where it has none.
    growth
        What came in the last hours.
    """
    spool, results = volume_of(storage.spool), volume_of(storage.results)
    scarce = min(spool, results, key=lambda volume: volume.free_bytes)
    return DiskState(
        next_stage(spool, results, storage, _known(before)),
        scarce.total_bytes,
        scarce.free_bytes,
        hours_left(spool, results, storage, growth),
    )


def hours_left(
    spool: Volume, results: Volume, storage: StorageSettings, growth: Growth
) -> float | None:
    """Hours until the first of the two filesystems has no room, at the rate of `growth`."""
    received, published = growth.received / growth.hours, growth.published / growth.hours
    if spool.device == results.device:
        received = published = received + published
    filling = ((spool, received), (results, published))
    hours = [
        max(0.0, (volume.free_bytes - storage.free_bytes_min) / rate)
        for volume, rate in filling
        if rate > 0
    ]
    return min(hours, default=None)


class DiskWatch:
    """Follows the stage while the daemon runs.

    Parameters
    ----------
    storage, stages
        The marks, and where each stage that begins is recorded.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        storage: StorageSettings,
        stages: "DiskStages",
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._storage = storage
        self._stages = stages
        self._clock = clock
        self._stage = _known(stages.latest())
        self._next_look = clock()

    def may_process(self) -> bool:
        """Whether jobs may begin."""
        return self._has_not_reached("pause_processing")

    def may_retrieve(self) -> bool:
        """Whether retrieves may begin."""
        return self._has_not_reached("pause_retrieves")

    def _has_not_reached(self, stage: Stage) -> bool:
        if self._clock() >= self._next_look:
            self._next_look = self._clock() + _LOOK_SECONDS
            self._look()
        return STAGES.index(self._stage) < STAGES.index(stage)

    def _look(self) -> None:
        try:
            spool, results = volume_of(self._storage.spool), volume_of(self._storage.results)
        except OSError as error:  # such as a network filesystem that is gone for a moment
            logger.warning("disk: cannot be asked: %s", error.strerror)
            return
        stage = next_stage(spool, results, self._storage, self._stage)
        if stage != self._stage:
            free = min(spool.free_bytes, results.free_bytes)
            self._stages.record(stage, free)
            logger.warning("disk: %s, with %d bytes free", stage.replace("_", " "), free)
            self._stage = stage


def _known(stage: str | None) -> Stage:
    return next((known for known in STAGES if known == stage), "ample")
