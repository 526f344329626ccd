"""Turns a notification into what is sent: a subject, a text, and JSON for a webhook.

Nothing of it is patient data: what is known of a study are its UID, its accession number and its
numbers in the ledger.
"""

import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ledger.notification_records import Facts, Notification
from processor.words import count
from safelight.config import Config
from safelight.message_templates import SUBJECT, TEXT, VARIABLES, rendered
from safelight.notify_settings import NotifySettings
from web_status.settings import LOOPBACK_NAMES, WebSettings

_SUBJECT_MAX = 200
_WORDS = {
    "done": "done",
    "failed": "failed",
    "low_quality": "of low quality",
    "study_done": "studies done",
    "alarm_began": "alarms",
    "alarm_lasts": "alarms that last",
    "alarm_ended": "alarms that are over",
}
_WORDED = ("alarm_began", "test")  # they bring a sentence of their own
_OF_A_JOB = ': rule "{rule}", series {series}'
_TITLES = {
    "done": f"done{_OF_A_JOB}",
    "failed": f"failed{_OF_A_JOB}",
    "low_quality": f"of low quality{_OF_A_JOB}",
    "alarm_began": "{what}",
    "alarm_lasts": "still: {what}",
    "alarm_ended": "over: {what}",
    "test": "this is a test",
}
_DETAILS = {
    "Rule": ("rule",),
    "Reason": ("reason",),
    "Study": ("study", "study_uid"),
    "Accession number": ("accession_number",),
    "Series": ("series", "modality", "series_uid"),
    "Job": ("job",),
    "Since": ("since",),
    "Time": ("at",),
    "Page": ("link",),
}
_REMEDIES = {
    "failed": "The page of the series says why and what helps; then send its job again there, or"
    " with `safelight jobs resend`.",
    "low_quality": "Look at its picture and measures on the page of the series. Nothing was left"
    " out or changed for it.",
    "summary": "More has happened than may be told one by one in an hour; the page has all of it.",
}


@dataclass(frozen=True)
class Message:
    """What is sent.

    Attributes
    ----------
    id
        Tells one that comes twice.
    subject, text
        Of an e-mail.
    body
        What a webhook gets, JSON.
    """

    id: str
    subject: str
    text: str
    body: bytes


def message_of(one: Notification, settings: NotifySettings, config: Config) -> Message:
    """A notification in the words of its target's templates.

    Raises
    ------
    jinja2.TemplateError
        A template does not take this one.
    """
    variables = _variables(one, settings.name, config)
    subject = " ".join(rendered(settings.subject or SUBJECT, variables).split())[:_SUBJECT_MAX]
    text = rendered(settings.text or TEXT, variables)
    if settings.body:
        body = rendered(settings.body, variables)
    else:
        body = json.dumps({**variables, "subject": subject, "text": text})
    return Message(_id_of(one), subject, text, body.encode())


def _id_of(one: Notification) -> str:
    """The same at each try, and another in a ledger that begins anew; a Message-ID (RFC 5322)."""
    at = "".join(filter(str.isdecimal, one.at))
    return f"safelight.{one.id}.{at}@{socket.gethostname()}"


def _variables(one: Notification, name: str, config: Config) -> Mapping[str, Any]:
    facts = _printable(one.facts)
    told = {key: value for key, value in facts.items() if key in VARIABLES}
    title = _title(one.event, facts)
    link = page_url(config.web) + _path(facts)
    return {
        **VARIABLES,
        **told,
        "details": _details({**facts, **_here(facts, one.at), "link": link}),
        "events": dict(told.get("events", {})),
        "lines": [_line(example) for example in facts.get("examples", ())],
        "id": one.id,
        "event": one.event,
        "at": one.at,
        "node": node_name(config),
        "name": name,
        "title": title,
        "what": facts["what"] if one.event in _WORDED else f"{title[0].upper()}{title[1:]}.",
        "remedy": _remedy(one.event, facts),
        "link": link,
    }


def _title(event: str, facts: Mapping[str, Any]) -> str:
    """What happened, in a line."""
    if event == "study_done":
        failed = f", {facts['jobs_failed']} failed" if facts["jobs_failed"] else ""
        done = count(facts["jobs_done"], "job")
        return f"study {facts['study']} is done: {done} done{failed}"
    if event == "summary":
        told = (f"{n} {_WORDS[key]}" for key, n in facts["events"].items())
        return f"{count(facts['count'], 'notification')} in one: {', '.join(told)}"
    return _TITLES[event].format_map(facts)


def _line(example: Mapping[str, Any]) -> str:
    return _title(str(example["event"]), example)


def _here(facts: Mapping[str, Any], at: str) -> Mapping[str, str]:
    """Times as people here say them."""
    times = {"at": at, "since": facts.get("since", "")}
    return {
        name: f"{datetime.fromisoformat(time).astimezone():%Y-%m-%d %H:%M:%S %Z}"
        for name, time in times.items()
        if time
    }


def _details(facts: Mapping[str, Any]) -> list[str]:
    """What is known of it, a line each."""
    lines = []
    for heading, names in _DETAILS.items():
        values = [str(facts[name]) for name in names if facts.get(name)]
        lines += [f"{heading}: {', '.join(values)}"] if values else []
    return lines


def _remedy(event: str, facts: Mapping[str, Any]) -> str:
    if event == "alarm_ended":
        return ""
    return str(facts.get("remedy", _REMEDIES.get(event, "")))


def _path(facts: Mapping[str, Any]) -> str:
    """Where on the page it is."""
    if "link" in facts:
        return str(facts["link"])
    if facts.get("series"):
        return f"/series/{facts['series']}"
    return f"/studies/{facts['study']}" if facts.get("study") else "/"


def _printable(facts: Facts) -> Any:
    """Facts without line breaks and other control characters, which senders may have put there."""

    def clean(value: Any) -> Any:
        if isinstance(value, str):
            return "".join(each if each.isprintable() else " " for each in value)
        if isinstance(value, Mapping):
            return {key: clean(each) for key, each in value.items()}
        return [clean(each) for each in value] if isinstance(value, list) else value

    return clean(dict(facts))


def node_name(config: Config) -> str:
    """Which Safelight it is."""
    return f"{config.dicom.ae_title}@{socket.gethostname()}"


def page_url(web: WebSettings) -> str:
    """Where people reach the page; behind a proxy that is HTTPS under the first of its names."""
    if web.hosts and web.host in LOOPBACK_NAMES:
        return f"https://{web.hosts[0]}"
    return web.url
