"""Publication: outputs appear whole, with a manifest, by one rename, or not at all."""

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from processor.errors import DestinationTaken, StorageError
from processor.model import JobRequest, JobResult, Output, StepResult

MANIFEST = "manifest.json"
SCHEMA = 1
_CHUNK = 1 << 20


def output_of(path: Path, folder: Path, kind: str) -> Output:
    """Describe a written file relative to its job's folder, with its SHA-256."""
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Output(path.relative_to(folder).as_posix(), kind, size, digest.hexdigest())


def published_result(results: Path, folder: Path, key: str) -> JobResult | None:
    """The recorded result of a job that is already published, None when it is not."""
    try:
        manifest = json.loads((results / folder / MANIFEST).read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    if manifest["key"] != key:
        return None
    steps = tuple(_step_of(step) for step in manifest["steps"])
    return JobResult(key, folder, steps, manifest["seconds"])


def require_intact(results: Path, folder: Path, keys: Sequence[str]) -> None:
    """Check every published file of a job against its manifest, which has one of `keys`.

    Raises
    ------
    StorageError
        There is no such publication, or a file is missing or is not what was published.
    """
    found = (published_result(results, folder, key) for key in keys)
    recorded = next(filter(None, found), None)
    if recorded is None:
        raise StorageError("the job's results are not published")
    for output in (output for step in recorded.steps for output in step.outputs):
        path = results / folder / output.path
        if not path.is_file() or output_of(path, results / folder, output.kind) != output:
            raise StorageError("a published file is missing or was changed")


def free_folder(results: Path, wanted: Sequence[str], key: str) -> Path:
    """The job's folder relative to `results`.

    Parameters
    ----------
    wanted : sequence of str
        The names it may have, the best first; another job's folder is never touched.

    Returns
    -------
    Path
        Where the job is published already, else the first that nothing has.

    Raises
    ------
    DestinationTaken
        Other jobs have all of them, or a folder above.
    """
    folders = [Path(name) for name in wanted]
    for folder in folders:
        if published_result(results, folder, key):
            return folder
    for folder in folders:
        if not _is_taken(results, folder):
            return folder
    raise DestinationTaken("another job's folder is where the rule wants its outputs")


def _is_taken(results: Path, folder: Path) -> bool:
    """Whether something is there already, or a job's folder above it."""
    above = (results / parent / MANIFEST for parent in folder.parents)
    return (results / folder).exists() or any(manifest.exists() for manifest in above)


def publish(
    temporary: Path, request: JobRequest, result: JobResult, versions: Mapping[str, str]
) -> None:
    """Write the manifest into `temporary`, make all of it durable, and rename it into place."""
    manifest = _manifest(request, result, versions)
    (temporary / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    for path in sorted(temporary.rglob("*")):
        sync(path)
    sync(temporary)
    target = request.results / result.folder
    made = _make_folders(request.results, result.folder.parent)
    temporary.rename(target)
    for folder in (target.parent, *made):
        sync(folder)


def _make_folders(results: Path, folder: Path) -> list[Path]:
    """Make the folders above a job's; return those whose entries changed, the lowest first."""
    chain = [results / folder, *(results / parent for parent in folder.parents)]
    changed = [path.parent for path in chain[:-1] if not path.exists()]
    chain[0].mkdir(parents=True, exist_ok=True)
    return changed


def sync(path: Path) -> None:
    """Make a file or folder durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def require_within(folder: Path, outputs: Sequence[Output]) -> None:
    """Check that a step's outputs are files of its folder.

    Raises
    ------
    ValueError
        One is a link, no file, or lies elsewhere: publishing it would publish something else.
    """
    for output in outputs:
        path = folder / output.path
        if path.parent != folder or path.is_symlink() or not path.is_file():
            raise ValueError("an output is no file of its job's folder")


def remove_undeclared(folder: Path, steps: Sequence[StepResult]) -> None:
    """Remove what no step declared: the remains of a refused or failed step."""
    declared = {output.path for step in steps for output in step.outputs}
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in declared:
            path.unlink()


def _manifest(
    request: JobRequest, result: JobResult, versions: Mapping[str, str]
) -> dict[str, object]:
    return {
        "schema": SCHEMA,
        "key": request.key,
        "study_uid": request.study_uid,
        "series_uid": request.series_uid,
        "digest": request.digest,
        "revision": request.revision,
        "rule": request.rule,
        "options": {step.processor: dict(step.options) for step in request.steps},
        "facts": dict(request.facts),
        "processors": dict(versions),
        "seconds": round(result.seconds, 3),
        "steps": [asdict(step) for step in result.steps],
    }


def _step_of(recorded: Mapping[str, Any]) -> StepResult:
    return StepResult(
        recorded["processor"],
        recorded["state"],
        recorded["summary"],
        recorded["details"],
        tuple(Output(**output) for output in recorded["outputs"]),
    )
