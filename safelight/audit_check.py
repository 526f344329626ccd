"""Checks that the audit trail is whole: each line has the digest of the one before it.

That lines were cut off at the end shows only where a syslog server has them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from safelight.audit_delivery import delivery_of
from web_status.audit_file import AuditFiles, AuditLine


@dataclass(frozen=True)
class Checked:
    """What came of it.

    Attributes
    ----------
    lines, number
        How many lines there are, and the number of the last.
    seal
        The digest of the last line: kept elsewhere, it proves later that nothing before it was
        changed.
    unreadable
        Lines that were cut short, as by a full disk.
    faults
        What was changed or is missing, in words.
    """

    lines: int
    number: int
    seal: str
    unreadable: int
    faults: tuple[str, ...]


def checked(data: Path) -> Checked:
    """Read all of the audit trail in a data folder.

    Raises
    ------
    OSError
        A file of it cannot be read.
    """
    lines = number = unreadable = 0
    before: AuditLine | None = None
    faults: list[str] = []
    for name, line in _lines(AuditFiles(data)):
        lines += 1
        unreadable += not line.record
        fault = _fault(before, number, line)
        if fault:
            faults.append(f"{name}: {fault}")
        number = line.number or number
        before = line
    sent = delivery_of(data).number
    if sent > number:
        faults.append(f"lines {number + 1} to {sent} were sent to the syslog server and are gone")
    return Checked(lines, number, before.seal if before else "", unreadable, tuple(faults))


def _lines(files: AuditFiles) -> Iterator[tuple[str, AuditLine]]:
    for path in files.paths():
        yield from ((path.name, line) for line in files.lines(path))


def _fault(before: AuditLine | None, number: int, line: AuditLine) -> str:
    """What is wrong between a line and the one before it, whose number is given; else nothing."""
    previous = line.record.get("previous")
    if previous is None:
        is_old = number == 0 or not line.record
        return "" if is_old else f"a line after {number} has no digest of it"
    if before is None:
        return ""  # what was before it was put elsewhere, or is the beginning
    if previous != before.seal:
        return f"what line {line.number} follows was altered, taken out or put in"
    return ""
