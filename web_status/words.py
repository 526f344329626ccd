"""Puts what the ledger says into words, numbers with units and times. Pure."""

from collections.abc import Callable, Mapping
from datetime import datetime
from types import MappingProxyType

from ledger.rows import AssociationRow, SeriesRow, StudyRow
from processor.words import (
    GRADE_WORDS,
    KIND_WORDS,
    PROCESSOR_WORDS,
    STEP_TONES,
    STEP_WORDS,
    Words,
    count,
    dicom_date,
    percent,
    person_name,
    size,
)

STATE_TONES: Words = MappingProxyType(
    {
        "arriving": "busy",
        "waiting": "busy",
        "processing": "busy",
        "done": "good",
        "kept": "calm",
        "dropped": "calm",
        "attention": "bad",
    }
)
"""State of a series to the tone it is shown in."""

STATE_WORDS: Words = MappingProxyType(
    {"attention": "needs a person", "kept": "kept as it came", "dropped": "left out by a rule"}
)
"""States whose own name does not say enough."""


JOB_TONES: Words = MappingProxyType(
    {
        "queued": "busy",
        "running": "busy",
        "done": "good",
        "dead": "bad",
        "superseded": "calm",
        "cancelled": "calm",
    }
)
_EVIDENCE_WORDS: Words = MappingProxyType(
    {
        "listed": "listed by a PACS",
        "counted": "counted by a PACS",
        "moved": "as many as a C-MOVE sent",
        "released": "the sender had finished",
        "quiet": "only quiet",
        "forced": "closed by time",
    }
)

JOB_WORDS: Words = MappingProxyType({"dead": "given up"})


RETRIEVE_TONES: Words = MappingProxyType(
    {
        "waiting": "calm",
        "running": "busy",
        "whole": "good",
        "unproven": "warn",
        "incomplete": "bad",
        "absent": "warn",
        "failed": "bad",
        "cancelled": "calm",
    }
)

_ADVICE: Words = MappingProxyType(
    {
        "StorageError": "Check that the disk of the results folder is there, writable and not"
        " full.",
        "WorkerTimeout": "The series took longer than a worker may. Raise the time limit if it is"
        " very large; otherwise one of its instances is probably damaged.",
        "WorkerOutOfMemory": "The series needs more memory than a worker may have. Raise the"
        " memory limit, or let fewer workers run at the same time.",
        "WorkerDied": "The worker process crashed, most often in the decoder of a damaged"
        " instance. Compare the instances with those of the sender.",
        "OptionError": "An option in the rule is wrong. Correct the rule named above.",
        "TemplateError": "A metadata template is wrong. Correct the file the message names.",
    }
)
_GENERAL_ADVICE = "Trying again did not help. The log of the service names the place in the code."
_NOTHING_LOST = "No instance is lost: all of them are in the spool."


def advice(error: str) -> str:
    """What a person can do about the error of a job that was given up."""
    found = (text for cause, text in _ADVICE.items() if cause in error)
    return f"{next(found, _GENERAL_ADVICE)} {_NOTHING_LOST}"


def seconds(number: float) -> str:
    """A duration.

    >>> seconds(0.25), seconds(12.34), seconds(200), seconds(7300)
    ('0.25 s', '12.3 s', '3 min 20 s', '2 h 1 min')
    """
    if number < 60:
        return f"{number:.3g} s"
    minutes = round(number) // 60
    if minutes < 60:
        return f"{minutes} min {round(number) % 60} s"
    return f"{minutes // 60} h {minutes % 60} min"


def pace(row: AssociationRow) -> str:
    """How fast an association is, from its beginning to its latest instance; empty at first."""
    if row.latest_at is None:
        return ""
    took = datetime.fromisoformat(row.latest_at) - datetime.fromisoformat(row.began_at)
    lasted = took.total_seconds()
    if lasted < 1:
        return ""
    return f"{row.stored / lasted:.3g} instances/s, {size(row.bytes / lasted)}/s on average"


def time_left(number: float | None) -> str:
    """How long something will take yet, as rough as it is known; empty for what is not.

    >>> time_left(4), time_left(47), time_left(130), time_left(9000), time_left(None)
    ('a few seconds left', 'about 50 s left', 'about 2 min left', 'about 2.5 h left', '')
    """
    if number is None:
        return ""
    if number < 10:
        return "a few seconds left"
    if number < 90:
        return f"about {round(number / 10) * 10} s left"
    if number < 5400:
        return f"about {round(number / 60)} min left"
    return f"about {number / 3600:.2g} h left"


def utc(timestamp: str) -> str:
    """A ledger timestamp for a reader without JavaScript.

    >>> utc("2026-11-03T09:30:01.250+00:00")
    '2026-11-03 09:30:01 UTC'
    """
    return f"{timestamp[:10]} {timestamp[11:19]} UTC"


def series_name(row: SeriesRow) -> str:
    """What a series is called: its number and description."""
    number = "" if row.SeriesNumber is None else f"{row.SeriesNumber} "
    return f"{number}{row.SeriesDescription or 'without description'}"


def completeness(row: SeriesRow) -> str:
    """How sure it is that a series is whole, and on what evidence."""
    if row.state == "arriving":
        return f"{count(row.instances, 'instance')} so far"
    grade = row.grade or "unknown"
    word = "incomplete" if row.missing else GRADE_WORDS.get(grade, grade)
    return f"{word}: {row.evidence}"


def study_completeness(study: StudyRow) -> str:
    """How sure it is that all of a study is here, and on what evidence."""
    missing = sum(row.missing or 0 for row in study.series)
    if study.is_arriving:
        return "arriving"
    if missing:
        return f"incomplete: {count(missing, 'instance')} missing"
    grade = study.complete_grade or "unknown"
    word = GRADE_WORDS.get(grade, grade)
    return f"{word}: {study.complete_evidence}" if study.complete_evidence else word


def grade_words(grade: str) -> str:
    """A grade, with what it means.

    >>> grade_words("listed"), grade_words("quiet")
    ('complete: listed by a PACS', 'probably complete: only quiet')
    """
    return f"{GRADE_WORDS[grade]}: {_EVIDENCE_WORDS[grade]}"


def quality(row: SeriesRow) -> str:
    """Quality control in a word; empty where it has not run."""
    return row.results.get("qc", "").partition(";")[0]


def quality_tone(row: SeriesRow) -> str:
    """The tone quality control is shown in."""
    return "good" if quality(row) == "Normal" else "warn"


def labelled(words: Words) -> Callable[[str], str]:
    """A filter that says what `words` has, else the name itself."""
    return lambda name: words.get(name, name)


FILTERS: Mapping[str, Callable[..., str]] = MappingProxyType(
    {
        "advice": advice,
        "completeness": completeness,
        "count": count,
        "dicom_date": dicom_date,
        "grade_words": grade_words,
        "job_tone": labelled(JOB_TONES),
        "job_word": labelled(JOB_WORDS),
        "kind_word": labelled(KIND_WORDS),
        "pace": pace,
        "percent": percent,
        "person_name": person_name,
        "processor_word": labelled(PROCESSOR_WORDS),
        "quality": quality,
        "quality_tone": quality_tone,
        "retrieve_tone": labelled(RETRIEVE_TONES),
        "seconds": seconds,
        "series_name": series_name,
        "size": size,
        "state_tone": labelled(STATE_TONES),
        "state_word": labelled(STATE_WORDS),
        "study_completeness": study_completeness,
        "step_tone": labelled(STEP_TONES),
        "step_word": labelled(STEP_WORDS),
        "time_left": time_left,
        "utc": utc,
    }
)
"""The filters of the templates."""
