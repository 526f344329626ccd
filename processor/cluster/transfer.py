"""How a job and its outputs get to a worker and back: by folders that both see, or by bytes.

Either way the outputs are checked by their digests before they are published, which is done here.
"""

import hashlib
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from processor.cluster import work
from processor.cluster.pieces import digest_of, orders_of, read_span, write_pieces
from processor.cluster.task import Parcel, Piece, Task
from processor.errors import StorageError
from processor.job import Made, publish_made
from processor.model import JobRequest, JobResult
from processor.settings import PoolSettings, ProcessorSettings

_INSTANCES, _TEMPLATES, _MR_CLEAN = Path("instances"), Path("templates"), Path("mr_clean")


class Transfer(Protocol):
    """One run of a job, there and back."""

    def sent(self) -> Task:
        """Send what the worker needs, and return what it is to do."""

    def published(self, made: Made, parcels: Sequence[Parcel]) -> JobResult:
        """Take what the worker made, check it and publish it."""


@dataclass(frozen=True)
class Shared:
    """The worker sees our folders: it makes the outputs where we publish them from."""

    key: str
    request: JobRequest
    limits: PoolSettings

    def sent(self) -> Task:
        """Nothing needs to be sent."""
        return Task(self.key, self.request, self.limits)

    def published(self, made: Made, parcels: Sequence[Parcel]) -> JobResult:
        """Check the outputs where they are, and publish them."""
        del parcels
        if made.folder is not None:
            found = {path: digest_of(made.folder / path) for path in _digests(made)}
            _require_equal(_digests(made), found)
        return publish_made(made)


@dataclass(frozen=True)
class Wire:
    """The worker is sent the bytes of the series, and asked for those of the outputs.

    Attributes
    ----------
    place : str
        The worker's folder for this run.
    call : callable
        Calls a function of `processor.cluster.work` at the worker.
    at_once : context manager
        Lets in so many transfers at once: each has a few pieces in memory.
    taken : sequence of str
        Folders of results that other jobs have; the worker cannot see them.
    """

    key: str
    request: JobRequest
    limits: PoolSettings
    place: str
    call: Callable[..., Any]
    at_once: AbstractContextManager[object]
    taken: Sequence[str] = ()

    def sent(self) -> Task:
        """Send the instances, and the files that settings name.

        Raises
        ------
        StorageError
            The worker has something else than what was sent.
        """
        instances = {(_INSTANCES / path.name).as_posix(): path for path in self.request.files}
        settings, files = _settings_sent(self.request.settings)
        with self.at_once:
            sent = self._send({**instances, **files})
            found = {one.name: one.sha256 for one in self.call(work.received, self.place)}
        if sent != found:
            raise StorageError("a file was altered on its way to a Dask worker")
        request = replace(self.request, files=tuple(map(Path, instances)), settings=settings)
        return Task(self.key, request, self.limits, self.place, self.taken)

    def _send(self, files: Mapping[str, Path]) -> dict[str, str]:
        """Send files in pieces; return their digests. What is missing here is missing there."""
        sizes = {name: path.stat().st_size for name, path in files.items() if path.exists()}
        digests = {name: hashlib.sha256() for name in sizes}
        for order in orders_of(sizes.items()):
            pieces = [Piece(one.name, one.offset, read_span(files[one.name], one)) for one in order]
            for piece in pieces:
                digests[piece.name].update(piece.content)
            self.call(work.put, self.place, pieces)
        return {name: digest.hexdigest() for name, digest in digests.items()}

    def published(self, made: Made, parcels: Sequence[Parcel]) -> JobResult:
        """Fetch the outputs, check them, and publish them."""
        folder = self.request.scratch / f"{self.request.key}-{secrets.token_hex(8)}"
        folder.mkdir(parents=True)
        try:
            with self.at_once:
                of_outputs = f"{work.SCRATCH}/"
                outputs = [one for one in parcels if one.name.startswith(of_outputs)]
                prefix = f"{of_outputs}{made.folder.name if made.folder else ''}/"
                _require_equal(_digests(made), self._fetch(outputs, prefix, folder))
                others = [one for one in parcels if one not in outputs]
                self._fetch(others, f"{work.UNVERIFIED}/", self.request.unverified.parent)
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        here = replace(made.request, scratch=self.request.scratch, results=self.request.results)
        return publish_made(replace(made, request=here, folder=folder))

    def _fetch(self, parcels: Sequence[Parcel], prefix: str, into: Path) -> dict[str, str]:
        """Fetch files in pieces; return their digests by their names without the prefix."""
        digests = {one.name: hashlib.sha256() for one in parcels}
        for order in orders_of((one.name, one.size) for one in parcels):
            pieces: list[Piece] = self.call(work.get, self.place, order)
            for piece in pieces:
                digests[piece.name].update(piece.content)
            write_pieces(into, [replace(one, name=one.name.removeprefix(prefix)) for one in pieces])
        if any(digests[one.name].hexdigest() != one.sha256 for one in parcels):
            raise StorageError("a file was altered on its way from a Dask worker")
        return {name.removeprefix(prefix): one.hexdigest() for name, one in digests.items()}


def _settings_sent(settings: ProcessorSettings) -> tuple[ProcessorSettings, dict[str, Path]]:
    """Settings as the worker gets them, and the files that they name, by their names there."""
    files: dict[str, Path] = {}
    if settings.templates is not None:
        for path in settings.templates.glob("*.json"):
            files[(_TEMPLATES / path.name).as_posix()] = path
    if settings.mr_clean is not None:
        files[(_MR_CLEAN / settings.mr_clean.name).as_posix()] = settings.mr_clean
    sent = replace(
        settings,
        templates=settings.templates and _TEMPLATES,
        mr_clean=settings.mr_clean and _MR_CLEAN / settings.mr_clean.name,
    )
    return sent, files


def _digests(made: Made) -> dict[str, str]:
    """The digests of the outputs, as the steps told them."""
    return {output.path: output.sha256 for step in made.result.steps for output in step.outputs}


def _require_equal(told: Mapping[str, str], found: Mapping[str, str]) -> None:
    if told != found:
        raise StorageError("the outputs of a Dask worker are not what it says they are")
