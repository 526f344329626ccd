"""One job from request to published folder: the function that workers run."""

import errno
import hashlib
import json
import secrets
import shutil
import time
import traceback
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pydicom.dataset import Dataset

from processor.deidentify import NAME as DEIDENTIFY
from processor.disguise import disguised
from processor.errors import (
    DestinationTaken,
    FolderLost,
    ForwardRefused,
    OutputUnavailable,
    RetriableError,
    StorageError,
    WorkerOutOfMemory,
)
from processor.findings import findings_of, names_of
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
from processor.registry import PROCESSORS, check_step
from processor.source import SeriesSource
from rules.model import Reason, SeriesFacts, Step
from rules.parse import parse_when

_NO_OUTPUT = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # what reading never brings
_NO_PUBLISHING = (*_NO_OUTPUT, errno.EIO, errno.EACCES, errno.EPERM, errno.ESTALE)
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY)
_LOST = "another job published where this one would, while it ran; it takes another name"


def job_key(
    series_uid: str, digest: str, rule: str, steps: Sequence[Step], destination: str = ""
) -> str:
    """What identifies a job: the same key means the same work, never done twice.

    Parameters
    ----------
    digest : str
        The digest of the series' set of instances.
    steps : sequence of Step
        Their options, conditions and the versions of their processors are part of the key.
    destination : str
        Where the outputs go, if not to the usual folder.

    Returns
    -------
    str
        SHA-256 in hexadecimal.
    """
    parts = [series_uid, digest, rule, [_step_key(step) for step in steps]]
    parts += [destination] if destination else []
    content = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()


def _step_key(step: Step) -> list[object]:
    check_step(step)
    condition = [] if step.when is None else [dict(step.when)]
    version = PROCESSORS[step.processor].version
    return [step.processor, version, dict(step.options), *condition]


@dataclass(frozen=True)
class Made:
    """A job whose steps have run, before its outputs are published.

    Attributes
    ----------
    request : JobRequest
        Under the names of what it publishes.
    result : JobResult
        What became of it, with the folder that it takes.
    versions : mapping
        The processors that ran, and their versions.
    folder : Path or None
        Where its outputs are; None where an earlier run has published them.
    """

    request: JobRequest
    result: JobResult
    versions: Mapping[str, str]
    folder: Path | None


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
    ForwardRefused
        A receiver does not take what was to be forwarded; nothing is published.
    OptionError
        A step names no processor or has a wrong option.
    """
    return publish_made(make_job(request))


def make_job(request: JobRequest) -> Made:
    """Run a job's steps, and leave their outputs in a folder of `request.scratch`.

    Whoever asked publishes or removes it. Raises what `run_job` raises.
    """
    with quiet_reading(), machine_told_apart():
        return _make(request)


def publish_made(made: Made) -> JobResult:
    """Publish what a job has made, unless another run of it has done so: then that counts.

    The folder of its outputs is gone afterwards, whatever happened.

    Raises
    ------
    FolderLost
        Another job has its folder meanwhile.
    OutputUnavailable, RetriableError
        As `run_job`.
    """
    if made.folder is None:
        return made.result
    try:
        with machine_told_apart():
            return _publish_once(made.folder, made.request, made.result, made.versions)
    finally:
        shutil.rmtree(made.folder, ignore_errors=True)


@contextmanager
def machine_told_apart() -> Iterator[None]:
    """Tell what the machine fails at by our own errors."""
    try:
        yield
    except OSError as error:
        kind = OutputUnavailable if error.errno in _NO_PUBLISHING else StorageError
        raise kind(_storage_message(error, "publishing")) from None
    except MemoryError:
        raise WorkerOutOfMemory("the memory limit was reached") from None


def _make(request: JobRequest) -> Made:
    started = time.monotonic()
    for step in request.steps:
        check_step(step)
    source = SeriesSource(request.files)
    shown, header = disguised(request, _first_header(source))
    folder = free_folder(request.results, _folders(shown, header), shown.key)
    versions = {step.processor: PROCESSORS[step.processor].version for step in request.steps}
    recorded = published_result(request.results, folder, shown.key)
    if recorded:
        return Made(shown, recorded, versions, None)
    temporary = _fresh(request.scratch, request.key)
    progress = Progress(request.scratch / f"{request.key}.progress")
    try:
        context = JobContext(
            request=shown,
            source=source,
            options={},
            folder=temporary,
            published=PurePosixPath(folder.as_posix()),
            earlier=(),
            progress=lambda _: None,
        )
        results = _run_steps(context, request.steps, progress)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    finally:
        progress.close()
    seconds = time.monotonic() - started
    result = JobResult(shown.key, folder, results, round(seconds, 3))
    return Made(shown, result, versions, temporary)


def _publish_once(
    temporary: Path, request: JobRequest, result: JobResult, versions: Mapping[str, str]
) -> JobResult:
    """Publish a result, unless another run of the same job has done so meanwhile: then that."""
    try:
        free_folder(request.results, [result.folder.as_posix()], request.key)
    except DestinationTaken:
        raise FolderLost(_LOST) from None
    recorded = published_result(request.results, result.folder, request.key)
    if recorded:
        return recorded
    try:
        publish(temporary, request, result, versions)
    except OSError as error:
        recorded = published_result(request.results, result.folder, request.key)
        if error.errno not in _TAKEN:
            raise
        if recorded is None:
            raise FolderLost(_LOST) from None
        return recorded
    return result


def _folders(request: JobRequest, header: Dataset) -> tuple[str, ...]:
    """The names a job's folder may have: with more of the key if another job has the name."""
    marked = ("-" + request.key[:length] for length in (8, 16, 64))
    if request.destination:
        return (request.destination, *(request.destination + mark for mark in marked))
    usual = f"{study_folder(header, request.study_uid)}/{series_stem(header)}"
    return tuple(usual + mark for mark in marked)


def _first_header(source: SeriesSource) -> Dataset:
    try:
        return source.first_header()
    except OSError as error:
        raise StorageError(_storage_message(error, "reading")) from None


def _fresh(scratch: Path, key: str) -> Path:
    """An empty folder of this run; what killed workers left of the job is removed.

    A worker that an ended daemon left behind, or that is cut off, may live for a moment yet: it
    must not find another's half-written outputs under the name of its own.
    """
    for remains in scratch.glob(f"{key}-*"):
        shutil.rmtree(remains, ignore_errors=True)
    folder = scratch / f"{key}-{secrets.token_hex(8)}"
    folder.mkdir(parents=True)
    return folder


def _run_steps(
    job: JobContext, steps: Sequence[Step], progress: Progress
) -> tuple[StepResult, ...]:
    results: tuple[StepResult, ...] = ()
    for number, step in enumerate(steps, 1):
        report = progress.of_step(step.processor)
        context = replace(job, options=step.options, earlier=results, progress=report)
        result = _left_out(step, results) or _run_step(step, context)
        results = (*results, result)
        remove_undeclared(job.folder, results)
        if step.processor == DEIDENTIFY:
            if result.state != "done":
                return (*results, *map(_not_deidentified, steps[number:]))
            job = _on_outputs(job, result)
    return results


def _on_outputs(job: JobContext, result: StepResult) -> JobContext:
    """The job with the instances that a step wrote in place of those it was given."""
    files = tuple(job.folder / output.path for output in result.outputs)
    return replace(job, request=replace(job.request, files=files), source=SeriesSource(files))


def _not_deidentified(step: Step) -> StepResult:
    return StepResult(step.processor, "refused", "not run: the series is not de-identified")


def _left_out(step: Step, earlier: Sequence[StepResult]) -> StepResult | None:
    """The result of a step whose condition does not hold; None where it is to run.

    A condition that cannot be judged is a fault for a person to look at: the step is neither
    run nor left out on a guess.
    """
    if step.when is None:
        return None
    names = [name for result in earlier for name in names_of(result.processor)]
    verdict, reasons = parse_when(step.when, names).judge(SeriesFacts({}, findings_of(earlier)))
    if verdict == "yes":
        return None
    if verdict == "no":
        return StepResult(step.processor, "refused", f"not run: {_told(reasons, 'no')}")
    summary = f"its condition cannot be judged: {_told(reasons, 'unknown')}"
    return StepResult(step.processor, "failed", summary)


def _told(reasons: Sequence[Reason], verdict: str) -> str:
    return ", ".join(reason.text for reason in reasons if reason.verdict == verdict)


def _run_step(step: Step, context: JobContext) -> StepResult:
    context.progress(0.0)
    try:
        result = PROCESSORS[step.processor].run(context)
        require_within(context.folder, result.outputs)
    except (RetriableError, ForwardRefused, MemoryError):
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
