"""The command ``doctor``: runs the checks one after another, prints what they find, and judges."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import asdict
from types import MappingProxyType

import click

from processor.words import count
from safelight import doctor_disk as storage
from safelight import doctor_machine as machine
from safelight import doctor_network as network
from safelight import doctor_program as program
from safelight.doctor_audit import audit
from safelight.doctor_cluster import cluster
from safelight.doctor_findings import Finding, Group, Level
from safelight.doctor_moving import moved
from safelight.doctor_notify import notifications
from safelight.doctor_site import Site
from safelight.version import __version__

_CHECKS: Mapping[Group, Callable[[Site], Iterator[Finding]]] = MappingProxyType(
    {
        "configuration": program.configuration,
        "packages": program.packages,
        "codecs": program.codecs,
        "ports": machine.ports,
        "folders": machine.folders,
        "disk": storage.disk,
        "filesystem": storage.filesystem,
        "inotify": storage.inotify,
        "clock": machine.clock,
        "ledger": program.ledger,
        "certificates": program.certificates,
        "cluster": cluster,
        "senders": network.senders,
        "audit": audit,
    }
)
_LABELS: Mapping[Level, str] = MappingProxyType(
    {"ok": "ok", "warning": "warning", "problem": "PROBLEM"}
)


def doctor(site: Site, groups: Collection[Group], *, move: bool, as_json: bool) -> int:
    """Print what the checks of `groups` find; return the exit code, 1 where one is a problem.

    Parameters
    ----------
    site
        What is examined.
    groups
        Which checks run.
    move
        Whether ``pacs`` has each send an instance.
    as_json
        Whether a program reads it: JSON, at the end. A person is told as it goes.
    """
    found: list[tuple[Group, Finding]] = []
    if not as_json:
        click.echo(_heading(site))
    for group, finding in _examined(site, groups, move=move):
        if not as_json:
            is_first = not found or found[-1][0] != group
            click.echo(_told(finding, heading=group if is_first else ""))
        found.append((group, finding))
    levels = Counter(finding.level for _, finding in found)
    click.echo(_document(site, found) if as_json else f"\n{_sum(levels)}")
    return 1 if levels["problem"] else 0


def _examined(
    site: Site, groups: Collection[Group], *, move: bool
) -> Iterator[tuple[Group, Finding]]:
    for group, check in _CHECKS.items():
        if group in groups:
            yield from ((group, finding) for finding in check(site))
    if "pacs" in groups:
        then = moved if move else None
        yield from (("pacs", finding) for finding in network.pacs(site, then))
    if "notifications" in groups:
        yield from (("notifications", finding) for finding in notifications(site))


def _heading(site: Site) -> str:
    runs = "no daemon runs" if site.daemon is None else f"the daemon is process {site.daemon}"
    return f"Safelight {__version__}; data {site.config.storage.data} of {site.user_name}; {runs}"


def _told(finding: Finding, heading: str) -> str:
    """A finding, with the name of its group before the first, and its remedy below."""
    lines = [f"\n{heading}"] if heading else []
    lines.append(f"  {_LABELS[finding.level]:<9}{finding.what}")
    if finding.remedy:
        lines.append(f"{'':11}-> {finding.remedy}")
    return "\n".join(lines)


def _sum(levels: Mapping[Level, int]) -> str:
    problems, warnings = (levels.get(level, 0) for level in ("problem", "warning"))
    if not problems + warnings:
        return "all is well"
    return f"{count(problems, 'problem')}, {count(warnings, 'warning')}"


def _document(site: Site, found: list[tuple[Group, Finding]]) -> str:
    document = {
        "version": __version__,
        "data": str(site.config.storage.data),
        "daemon": site.daemon,
        "user": site.user_name,
        "findings": [{"group": group, **asdict(finding)} for group, finding in found],
    }
    return json.dumps(document, indent=2)
