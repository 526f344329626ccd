"""What the ledger hands to the coordinator."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from listener.spool import SeriesKey
from rules.model import Step
from rules.notify import Notify


@dataclass(frozen=True)
class ClosedSeries:
    """A revision of a series: its exact set of instances, and why it was closed.

    Attributes
    ----------
    id, key, revision
        Which series, and how often it was closed.
    grade, evidence
        How good the evidence is that it is whole, and what it is.
    expected, missing
        How many instances a PACS said it has, and how many of those are not here; None where
        none did.
    header_findings
        How much its headers say against its being whole.
    sop_instance_uids
        Its instances, by InstanceNumber and then UID.
    digest
        SHA-256 over the sorted UIDs and digests of its instances.
    calling_ae, called_ae
        Who sent it, to whom.
    """

    id: int
    key: SeriesKey
    revision: int
    grade: str
    evidence: str
    expected: int | None
    missing: int | None
    header_findings: int
    sop_instance_uids: tuple[str, ...]
    digest: str
    calling_ae: str
    called_ae: str


@dataclass(frozen=True)
class NewJob:
    """A job to be queued.

    Attributes
    ----------
    destination
        The folder its outputs go to below the results folder; empty for the usual one.
    priority
        Jobs of a higher one are taken first.
    window
        The time of day in which it may begin, as ``HH:MM-HH:MM``; empty for any.
    notify
        Who is told how it ends.
    """

    key: str
    rule: str
    steps: tuple[Step, ...]
    destination: str = ""
    priority: int = 0
    window: str = ""
    notify: Notify = field(default=Notify())


@dataclass(frozen=True)
class ClaimedJob:
    """A queued job that is about to run, with the series it is about."""

    id: int
    key: str
    rule: str
    steps: tuple[Step, ...]
    tries: int
    series: ClosedSeries
    destination: str = ""


def encode_steps(steps: tuple[Step, ...]) -> str:
    """Steps as the ledger keeps them."""
    return json.dumps([[step.processor, dict(step.options), step.when] for step in steps])


def decode_steps(encoded: str) -> tuple[Step, ...]:
    """The reverse of `encode_steps`."""
    steps: list[tuple[str, Mapping[str, object], Mapping[str, object] | None]]
    steps = json.loads(encoded)
    return tuple(Step(*step) for step in steps)


def encode_notify(notify: Notify) -> str:
    """Who is told, as the ledger keeps it; empty for nobody."""
    return json.dumps([notify.to, notify.on]) if notify.to else ""


def decode_notify(encoded: str) -> Notify:
    """The reverse of `encode_notify`."""
    to, on = json.loads(encoded)
    return Notify(tuple(to), tuple(on))
