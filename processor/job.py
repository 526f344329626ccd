"""One job from request to published folder: the function that workers run."""

import errno
import hashlib
import json
import os
import shutil
import time
import traceback
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from pydicom.dataset import Dataset

from processor.errors import OutputUnavailable, RetriableError, StorageError, WorkerOutOfMemory
from processor.headers import quiet_reading
from processor.model import JobContext, JobRequest, JobResult, StepResult
from processor.names import series_stem, study_folder
from processor.progress import Progress
from processor.publish import (
    free_folder,
    publish,
    published_result,
    remove_undeclared,
    require_within,
)
from processor.registry import PROCESSORS, in_order
from processor.source import SeriesSource
from rules.model import Step

_NO_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # what reading never brings
_NO_PUBLISHING = (*_NO_OUTPUT, errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)


def job_key(series_uid: str, digest: str, rule: str, steps: Sequence[Step]) -> str:
    """What identifies a job: the same key means the same work, never done twice.

    Parameters
    ----------
    digest : str
        The digest of the series' set of instances.
    steps : sequence of Step
        Their options and the versions of their processors are part of the key.

    Returns
    -------
    str
        SHA-256 in hexadecimal.
    """
    named = [
        [step.processor, PROCESSORS[step.processor].version, dict(step.options)]
        for step in in_order(steps)
    ]
    content = json.dumps([series_uid, digest, rule, named], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def run_job(request: JobRequest) -> JobResult:
    """Run a job's steps in one pass over the series and publish their outputs together.

    A job that is already published is not run again: its recorded result is returned. While it
    runs, `<scratch>/<key>.progress` tells how far it is.

    Raises
    ------
    OutputUnavailable
        Outputs cannot be written, whatever the job; nothing is published.
    RetriableError
        The machine failed (input/output error, memory); nothing is published.
    OptionError
        A step names no processor or has a wrong option.
    """
    with quiet_reading():
        try:
            return _run(request)
        except OSError as error:
            kind = OutputUnavailable if error.errno in _NO_PUBLISHING else StorageError
            raise kind(_storage_message(error, "publishing")) from None
        except MemoryError:
            raise WorkerOutOfMemory("the memory limit was reached") from None


def _run(request: JobRequest) -> JobResult:
    started = time.monotonic()
    steps = in_order(request.steps)
    source = SeriesSource(request.files)
    header = _first_header(source)
    study, stem = study_folder(header, request.study_uid), series_stem(header)
    folder = free_folder(request.results, study, stem, request.key)
    recorded = published_result(request.results, folder, request.key)
    if recorded:
        return recorded
    temporary = _fresh(request.scratch, request.key)
    progress = Progress(request.scratch / f"{request.key}.progress")
    try:
        context = JobContext(
            request=request,
            source=source,
            options={},
            folder=temporary,
            published=PurePosixPath(folder.as_posix()),
            earlier=(),
            progress=lambda _: None,
        )
        results = _run_steps(context, steps, progress)
        seconds = time.monotonic() - started
        result = JobResult(request.key, folder, results, round(seconds, 3))
        versions = {step.processor: PROCESSORS[step.processor].version for step in steps}
        return _publish_once(temporary, request, result, versions)
    finally:
        progress.close()
        shutil.rmtree(temporary, ignore_errors=True)


def _publish_once(
    temporary: Path, request: JobRequest, result: JobResult, versions: Mapping[str, str]
) -> JobResult:
    """Publish a result, unless another run of the same job has done so meanwhile: then that."""
    try:
        publish(temporary, request, result, versions)
    except OSError as error:
        recorded = published_result(request.results, result.folder, request.key)
        if error.errno not in _TAKEN or recorded is None:
            raise
        return recorded
    return result


def _first_header(source: SeriesSource) -> Dataset:
    try:
        return source.first_header()
    except OSError as error:
        raise StorageError(_storage_message(error, "reading")) from None


def _fresh(scratch: Path, key: str) -> Path:
    """An empty folder of this process; what killed workers left of the job is removed.

    A worker that an ended daemon left behind may live for a moment yet: it must not find
    another's half-written outputs under the name of its own.
    """
    for remains in scratch.glob(f"{key}-*"):
        shutil.rmtree(remains, ignore_errors=True)
    folder = scratch / f"{key}-{os.getpid()}"
    folder.mkdir(parents=True)
    return folder


def _run_steps(
    job: JobContext, steps: Sequence[Step], progress: Progress
) -> tuple[StepResult, ...]:
    results: tuple[StepResult, ...] = ()
    for step in steps:
        report = progress.of_step(step.processor)
        context = replace(job, options=step.options, earlier=results, progress=report)
        results = (*results, _run_step(step, context))
        remove_undeclared(job.folder, results)
    return results


def _run_step(step: Step, context: JobContext) -> StepResult:
    context.progress(0.0)
    try:
        result = PROCESSORS[step.processor].run(context)
        require_within(context.folder, result.outputs)
    except (RetriableError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            kind = OutputUnavailable if error.errno in _NO_OUTPUT else StorageError
            raise kind(_storage_message(error, step.processor)) from None
        return _failed(step.processor, error)
    except Exception as error:  # noqa: BLE001  # the worker boundary: one bad input costs one step
        return _failed(step.processor, error)
    return result


def _failed(processor: str, error: Exception) -> StepResult:
    """The fault by its type and place only: messages of libraries may hold patient data."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "unknown"
    name = type(error).__name__
    summary = f"failed: {name} at {place}"
    return StepResult(processor, "failed", summary, {"error": name, "place": place})


def _storage_message(error: OSError, doing: str) -> str:
    code = errno.errorcode.get(error.errno or 0, type(error).__name__)
    return f"{code} in {doing}" if doing in PROCESSORS else f"{code} while {doing}"


def discard_remains(scratch: Path, running: Collection[str]) -> None:
    """Remove what killed workers left in `scratch`; what has a key of `running` is in use."""
    for path in scratch.iterdir():
        if path.name.partition(".")[0].partition("-")[0] in running:
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def progress_of(scratch: Path, key: str) -> Mapping[str, object] | None:
    """How far a running job is: its step and the fraction done of it; None when not running."""
    try:
        found = json.loads((scratch / f"{key}.progress").read_text(encoding="utf-8"))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return found if isinstance(found, dict) else None
