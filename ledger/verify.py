"""Checks that the ledger balances: what was acknowledged is here, or it is told where it went.

It only reads, and it may do so beside a running daemon. The equation, and what it cannot see,
stand in docs/operations.md.
"""

import hashlib
import json
import os
import sqlite3
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ledger.connection import open_for_reading
from ledger.holdings import association_of, series_files, set_aside_files
from listener.spool import SeriesKey

Fault = Literal["missing", "size", "sha256", "unaccounted"]
"""
missing       the file is not in the spool
size          it has another size than when it was received
sha256        it has other bytes
unaccounted   an association acknowledged more than is here, and no entry says what these were
"""


@dataclass(frozen=True)
class Loss:
    """Something that was acknowledged and is not here as it came.

    `uid` is a SOP Instance UID; the name of a file in quarantine, where `series_uid` is empty; or
    the identifier of an association, of which `instances` are unaccounted.
    """

    fault: Fault
    uid: str
    series_uid: str = ""
    instances: int = 1


@dataclass
class Balance:
    """Instances by what became of them; the names of the entries are the words of the equation.

    Attributes
    ----------
    stored, duplicates, second_versions
        What the associations said of themselves when they ended.
    untold
        Kept by associations that could not say so: open ones, and those lost in a crash.
    in_series
        In a series, but for those of a series that a rule dropped.
    dropped
        Rule to the instances of the series it dropped.
    quarantined
        Files in quarantine.
    deleted
        Deleted by retention.
    on_the_way
        In the spool, and not in the ledger yet.
    repeated
        Acknowledged again, with nothing new to keep.
    losses
        What is wrong; none where all is well.
    """

    stored: int = 0
    duplicates: int = 0
    second_versions: int = 0
    untold: int = 0
    in_series: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    quarantined: int = 0
    deleted: int = 0
    on_the_way: int = 0
    repeated: int = 0
    losses: tuple[Loss, ...] = ()

    @property
    def acknowledged(self) -> int:
        """How many C-STORE requests were answered with 0x0000, as far as it can be known."""
        return self.stored + self.duplicates + self.second_versions + self.untold

    @property
    def accounted(self) -> int:
        """How many of those it is known of what became of them."""
        kept = self.in_series + sum(self.dropped.values()) + self.quarantined
        return kept + self.deleted + self.on_the_way + self.repeated


def verify(ledger: Path, spool: Path, *, deep: bool = False) -> Balance:
    """Balance what was acknowledged with what is here.

    Parameters
    ----------
    ledger
        The SQLite file.
    spool
        The spool's folder.
    deep
        Whether to compare each file's SHA-256 too, which reads all of the spool.

    Raises
    ------
    NoLedger, NewerSchema, UnreadableLedger, LedgerLocked
        As `ledger.connection.open_for_reading` says.
    """
    connection = open_for_reading(ledger)
    try:
        balance, losses = _Count(connection, spool).made()
        if deep:
            suspects = {loss.uid for loss in losses}
            losses += [one for one in _altered(connection, spool) if one.uid not in suspects]
        balance.losses = tuple(one for one in losses if _is_lost(connection, spool, one))
    finally:
        connection.close()
    return balance


class _Count:
    """One count, in one snapshot of the ledger; the spool is looked at after it was taken.

    What lands or is read meanwhile is in the spool and not in the snapshot: on the way.
    """

    def __init__(self, connection: sqlite3.Connection, spool: Path) -> None:
        self._connection = connection
        self._spool = spool
        self._here: Counter[str] = Counter()  # of each association
        self._seconds: Counter[str] = Counter()
        self._losses: list[Loss] = []
        self._balance = Balance()

    def made(self) -> tuple[Balance, list[Loss]]:
        self._connection.execute("BEGIN")
        try:
            self._count_series()
            self._count_deleted()
            self._compare_files()
            self._count_quarantine()
            self._compare_associations()
        finally:
            self._connection.execute("ROLLBACK")
        return self._balance, self._losses

    def _count_series(self) -> None:
        rows = self._connection.execute(
            "SELECT association_id, count(*) AS n FROM instances WHERE deletion_id IS NULL"
            " GROUP BY association_id"
        )
        self._here.update({row["association_id"]: row["n"] for row in rows})
        self._balance.dropped = _dropped(self._connection)
        total = sum(self._here.values())
        self._balance.in_series = total - sum(self._balance.dropped.values())

    def _count_deleted(self) -> None:
        deleted = _deleted(self._connection)
        self._here.update(deleted)
        self._balance.deleted = sum(deleted.values())

    def _compare_files(self) -> None:
        """Compare each series of the ledger with its folder, and find folders it does not know."""
        files = dict(series_files(self._spool))
        for series_id, key in _series(self._connection):
            self._compare_series(series_id, key, files.pop(key, []))
        for unknown in files.values():
            self._note_on_the_way(unknown)

    def _compare_series(self, series_id: int, key: SeriesKey, files: list[str]) -> None:
        paths = {Path(path).stem: path for path in files}
        for row in _instances(self._connection, series_id):
            path = paths.pop(row["SOPInstanceUID"], None)
            if row["deletion_id"] is not None:
                continue
            if path is None:
                fault: Fault = "missing"
            elif os.stat(path).st_size != row["bytes"]:  # noqa: PTH116 - a million times
                fault = "size"
            else:
                continue
            self._losses.append(Loss(fault, row["SOPInstanceUID"], key.SeriesInstanceUID))
        self._note_on_the_way(paths.values())

    def _note_on_the_way(self, paths: Iterable[str]) -> None:
        for path in paths:
            self._here[association_of(Path(path))] += 1
            self._balance.on_the_way += 1

    def _count_quarantine(self) -> None:
        recorded = {row["name"] for row in self._connection.execute("SELECT name FROM quarantine")}
        for entry in set_aside_files(self._spool):
            path = self._spool / "quarantine" / f"{entry.name}.dcm"
            if not path.is_file():
                continue
            recorded.discard(entry.name)
            counted = self._seconds if entry.is_second_version else self._here
            counted[association_of(path)] += 1
            self._balance.quarantined += 1
        self._losses += [Loss("missing", name) for name in sorted(recorded)]

    def _compare_associations(self) -> None:
        """Compare what each association said with what is here of it."""
        balance, deficits = self._balance, Counter[str]()
        rows = self._connection.execute(
            "SELECT association_id, stored, duplicates, quarantined FROM associations"
        )
        here, seconds = self._here.copy(), self._seconds.copy()
        for row in rows:
            name = row["association_id"]
            balance.stored += row["stored"]
            balance.duplicates += row["duplicates"]
            balance.second_versions += row["quarantined"]
            found, second = here.pop(name, 0), seconds.pop(name, 0)
            deficits[name] = max(0, row["stored"] - found)
            balance.untold += max(0, found - row["stored"]) + max(0, second - row["quarantined"])
            balance.repeated += row["duplicates"] + max(0, row["quarantined"] - second)
        # A file that is too damaged to say who sent it may be what one of these misses.
        unnamed = here.pop("", 0)
        balance.untold += sum(here.values()) + sum(seconds.values())
        balance.untold += max(0, unnamed - deficits.total())
        for name, missing in deficits.items():
            covered = min(unnamed, missing)
            unnamed -= covered
            if missing > covered:
                self._losses.append(Loss("unaccounted", name, instances=missing - covered))


def _series(connection: sqlite3.Connection) -> list[tuple[int, SeriesKey]]:
    rows = connection.execute(
        "SELECT series.id, StudyInstanceUID, SeriesInstanceUID FROM series"
        " JOIN studies ON studies.id = study_id ORDER BY series.id"
    )
    return [
        (row["id"], SeriesKey(row["StudyInstanceUID"], row["SeriesInstanceUID"])) for row in rows
    ]


def _instances(connection: sqlite3.Connection, series_id: int) -> list[sqlite3.Row]:
    """The instances of a series; the files of those that a rule deleted need not be here."""
    return connection.execute(
        "SELECT SOPInstanceUID, bytes, sha256, deletion_id FROM instances WHERE series_id = ?",
        [series_id],
    ).fetchall()


def _deleted(connection: sqlite3.Connection) -> Counter[str]:
    """How many instances of each association a rule had deleted, sent again since or not."""
    rows = connection.execute(
        "SELECT association_id, count(*) AS n FROM (SELECT association_id FROM instances"
        " WHERE deletion_id IS NOT NULL UNION ALL SELECT association_id FROM sent_again)"
        " GROUP BY association_id"
    )
    return Counter({row["association_id"]: row["n"] for row in rows})


def _dropped(connection: sqlite3.Connection) -> dict[str, int]:
    """Rule to the instances of the series that it dropped."""
    rows = connection.execute(
        "SELECT instances - deleted AS instances, reasons FROM series"
        " JOIN decisions ON series_id = series.id"
        " AND decisions.revision = series.revision"
        " WHERE state = 'closed' AND series.outcome = 'drop'"
    )
    dropped: Counter[str] = Counter()
    for row in rows:
        *_, last = json.loads(row["reasons"])  # the rule that drops ends the trial
        dropped[last["rule"]] += row["instances"]
    return dict(dropped)


def _altered(connection: sqlite3.Connection, spool: Path) -> Iterator[Loss]:
    """The files whose SHA-256 is not the one that was recorded."""
    with ThreadPoolExecutor(os.cpu_count()) as threads:  # hashing lets go of the interpreter
        for series_id, key in _series(connection):
            folder = spool / "instances" / key.StudyInstanceUID / key.SeriesInstanceUID
            rows = [r for r in _instances(connection, series_id) if r["deletion_id"] is None]
            paths = [folder / f"{row['SOPInstanceUID']}.dcm" for row in rows]
            for row, digest in zip(rows, threads.map(digest_of, paths), strict=True):
                if digest != row["sha256"]:
                    fault: Fault = "sha256" if digest else "missing"
                    yield Loss(fault, row["SOPInstanceUID"], key.SeriesInstanceUID)


def _is_lost(connection: sqlite3.Connection, spool: Path, loss: Loss) -> bool:
    """Whether a missing file is still missed: it may have been deleted in order meanwhile."""
    if loss.fault != "missing" or not loss.series_uid:
        return True
    row = connection.execute(
        "SELECT StudyInstanceUID FROM instances JOIN series ON series.id = series_id"
        " JOIN studies ON studies.id = study_id WHERE SOPInstanceUID = ? AND SeriesInstanceUID = ?"
        " AND deletion_id IS NULL",
        [loss.uid, loss.series_uid],
    ).fetchone()
    if row is None:
        return False
    path = spool / "instances" / row["StudyInstanceUID"] / loss.series_uid / f"{loss.uid}.dcm"
    return not path.is_file()


def digest_of(path: Path) -> str:
    """The file's SHA-256; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
