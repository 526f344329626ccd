"""Queues what rules have told of their jobs, within the transaction that ends the job."""

import json
from collections.abc import Sequence

from ledger.notification_records import Facts
from ledger.records import decode_notify, decode_steps
from ledger.session import Row, Session
from listener.journal import now
from processor.disguise import step_of
from rules.notify import Event, Notify

_IDENTIFYING = ("study_uid", "series_uid", "accession_number")
_OF_A_STUDY = ("study", "study_uid", "accession_number")

_JOB = """SELECT jobs.id AS job, jobs.state, jobs.rule, jobs.steps, jobs.notify, jobs.error,
    series.id AS series, SeriesInstanceUID AS series_uid, Modality AS modality,
    studies.id AS study, StudyInstanceUID AS study_uid, AccessionNumber AS accession_number,
    (SELECT group_concat(processor, ', ') FROM steps
     WHERE job_id = jobs.id AND state = 'failed') AS failed_steps,
    EXISTS (SELECT 1 FROM steps WHERE job_id = jobs.id AND processor = 'qc'
     AND json_extract(details, '$.low_quality')) AS is_low
    FROM jobs JOIN series ON series.id = series_id JOIN studies ON studies.id = study_id
    WHERE jobs.id = ? AND notify != '' AND jobs.state IN ('done', 'dead')"""


def queue_told(session: Session, job_id: int) -> None:
    """Queue what is to be told of a job that has ended; nothing of one that is superseded."""
    for row in list(session.query(_JOB, [job_id])):
        notify = decode_notify(row["notify"])
        event, facts = _event(row, notify), _facts(row)
        for target in notify.to:
            if event is not None:
                queue_notification(session, target, event, facts)
            if "study_done" in notify.on:
                _hold(session, target, row["study"], facts)


def queue_notification(
    session: Session, target: str, event: str, facts: Facts, *, is_alarm: bool = False
) -> None:
    """Queue one notification, within a transaction."""
    at = now()
    session.insert(
        "notifications",
        target=target,
        event=event,
        is_alarm=is_alarm,
        facts=json.dumps(dict(facts)),
        state="waiting",
        at=at,
        not_before=at,
    )


def _event(row: Row, notify: Notify) -> Event | None:
    """The most telling of what happened, among what the rule has told."""
    happened: Sequence[Event] = ("low_quality", "done") if row["is_low"] else ("done",)
    if row["state"] == "dead" or row["failed_steps"]:
        happened = ("failed",)
    return next((event for event in happened if event in notify.on), None)


def _facts(row: Row) -> Facts:
    names = ("rule", "job", "series", "study", "modality", *_IDENTIFYING)
    failed = f"failed: {row['failed_steps']}" if row["failed_steps"] else ""
    facts = {**{name: row[name] for name in names}, "reason": row["error"] or failed}
    if step_of(decode_steps(row["steps"])) is not None:  # a pseudonym is worth nothing beside them
        facts |= {**dict.fromkeys(_IDENTIFYING, ""), "reason": failed}  # errors name UIDs
    return facts


def _hold(session: Session, target: str, study_id: int, facts: Facts) -> None:
    """Queue that a study is done, for when it is: once, however many of its jobs end."""
    at, about = now(), json.dumps({name: facts[name] for name in _OF_A_STUDY})
    session.execute(
        "INSERT INTO notifications (target, event, facts, study_id, state, at, not_before)"
        " VALUES (?, 'study_done', ?, ?, 'held', ?, ?) ON CONFLICT DO NOTHING",
        [target, about, study_id, at, at],
    )
