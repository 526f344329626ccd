"""What the manifests of published results tell of jobs, for a ledger that is made again."""

import json
import logging
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ledger.session import Session
from listener.spool import SeriesKey
from processor.model import JobResult
from processor.publish import MANIFEST, published_result

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Published:
    """A job whose results are published.

    Attributes
    ----------
    key, revision
        The series, and which revision of it the job was about.
    digest
        Of the revision's set of instances.
    facts
        What was known of the revision: its grade, the evidence, how many instances it has.
    rule, options
        The rule, and the options of each processor.
    result
        What the job made.
    at
        When it was published, ISO 8601 in UTC.
    """

    key: SeriesKey
    revision: int
    digest: str
    facts: Mapping[str, Any]
    rule: str
    options: Mapping[str, Mapping[str, object]]
    result: JobResult
    at: str


def published_jobs(results: Path) -> dict[SeriesKey, list[Published]]:
    """Every published job below `results` by its series, in the order of revisions."""
    found: defaultdict[SeriesKey, list[Published]] = defaultdict(list)
    for path in _manifests(results):
        try:
            job = _published(results, path)
        except (OSError, ValueError, LookupError, TypeError) as error:
            logger.warning("%s: not readable (%s)", path, type(error).__name__)
        else:
            found[job.key].append(job)
    for jobs in found.values():
        jobs.sort(key=lambda job: (job.revision, job.at))
    return dict(found)


def record_job(session: Session, series_id: int, job: Published, *, is_current: bool) -> None:
    """Record a published job with its steps and outputs; a second one of its key is left out."""
    result = job.result
    steps = [[step.processor, job.options.get(step.processor, {})] for step in result.steps]
    inserted = session.execute(
        "INSERT INTO jobs (key, series_id, revision, rule, steps, digest, state, tries,"
        " not_before, queued_at, started_at, ended_at, seconds, folder)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
        [
            *(result.key, series_id, job.revision, job.rule, json.dumps(steps), job.digest),
            *("done" if is_current else "superseded", job.at, job.at, job.at, job.at),
            *(result.seconds, str(result.folder)),
        ],
    )
    if not inserted.rowcount:
        return
    job_id = int(inserted.lastrowid or 0)
    for step in result.steps:
        session.insert(
            "steps",
            job_id=job_id,
            processor=step.processor,
            state=step.state,
            summary=step.summary,
            details=json.dumps(dict(step.details)),
        )
        for output in step.outputs:
            session.insert("outputs", job_id=job_id, processor=step.processor, **asdict(output))


def _manifests(results: Path) -> Iterator[Path]:
    for folder, inner, files in os.walk(results):
        inner.sort()
        if MANIFEST in files:
            yield Path(folder, MANIFEST)


def _published(results: Path, path: Path) -> Published:
    content = json.loads(path.read_text(encoding="utf-8"))
    result = published_result(results, path.parent.relative_to(results), content["key"])
    if result is None:
        raise FileNotFoundError
    return Published(
        SeriesKey(content["study_uid"], content["series_uid"]),
        int(content["revision"]),
        content["digest"],
        content.get("facts", {}),
        content["rule"],
        content.get("options", {}),
        result,
        datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat(timespec="milliseconds"),
    )
