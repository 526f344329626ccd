"""Tones, words and times for what the ledger says, the same in every language. Pure."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from ledger.rows import SeriesRow
from processor.words import STEP_TONES, Words, dicom_date, percent
from web_status.languages import msgid

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
    {
        "attention": msgid("needs a person"),
        "kept": msgid("kept as it came"),
        "dropped": msgid("left out by a rule"),
    }
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
EVIDENCE_WORDS: Words = MappingProxyType(
    {
        "listed": msgid("listed by a PACS"),
        "counted": msgid("counted by a PACS"),
        "moved": msgid("as many as a C-MOVE sent"),
        "released": msgid("the sender had finished"),
        "quiet": msgid("only quiet"),
        "forced": msgid("closed by time"),
    }
)

JOB_WORDS: Words = MappingProxyType({"dead": msgid("given up")})


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


def utc(timestamp: str) -> str:
    """A ledger timestamp for a reader without JavaScript.

    >>> utc("2026-11-03T09:30:01.250+00:00")
    '2026-11-03 09:30:01 UTC'
    """
    return f"{timestamp[:10]} {timestamp[11:19]} UTC"


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
        "dicom_date": dicom_date,
        "job_tone": labelled(JOB_TONES),
        "percent": percent,
        "quality_tone": quality_tone,
        "retrieve_tone": labelled(RETRIEVE_TONES),
        "state_tone": labelled(STATE_TONES),
        "step_tone": labelled(STEP_TONES),
        "utc": utc,
    }
)
"""The filters of the templates that are the same in every language."""
