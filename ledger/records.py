"""What the ledger hands to the coordinator."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from listener.spool import SeriesKey
from rules.model import Step


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
    """A job to be queued; one of a higher priority is claimed first."""

    key: str
    rule: str
    steps: tuple[Step, ...]
    priority: int = 0


@dataclass(frozen=True)
class ClaimedJob:
    """A queued job that is about to run, with the series it is about."""

    id: int
    key: str
    rule: str
    steps: tuple[Step, ...]
    tries: int
    series: ClosedSeries


def encode_steps(steps: tuple[Step, ...]) -> str:
    """Steps as the ledger keeps them."""
    return json.dumps([[step.processor, dict(step.options)] for step in steps])


def decode_steps(encoded: str) -> tuple[Step, ...]:
    """The reverse of `encode_steps`."""
    steps: list[tuple[str, Mapping[str, object]]] = json.loads(encoded)
    return tuple(Step(processor, options) for processor, options in steps)
