"""The balance of a ledger with a real spool, and what it says when something is lost.

Retention itself is not covered here: its entries are written as it leaves them.
"""

import os

import pytest

from ledger.reader import LedgerReader
from ledger.rebuild import rebuild
from ledger.verify import Loss, verify
from listener.journal import AssociationEvent, JournalWriter, now
from listener.settings import GroupingSettings
from listener.spool import SeriesKey
from listener.watcher import Known, Watcher
from rules.model import Decision, RuleReason


@pytest.fixture
def journal(spool):
    """Function that writes the end of an association, with its numbers."""
    writer = JournalWriter(spool.journal)

    def ended(association_id="a1", name="released", **numbers):
        writer.write(AssociationEvent("accepted", now(), association_id))
        writer.write(AssociationEvent(name, now(), association_id, **numbers))

    return ended


@pytest.fixture
def watch(spool, ledger):
    """Function that records, closes and drops nothing: what the daemon does until it decides."""

    def look(closing=0):
        known = Known(
            ledger.intake.sop_instance_uids,
            ledger.intake.series_of,
            ledger.intake.counts,
            ledger.intake.journal_offsets(),
        )
        watcher = Watcher(spool, GroupingSettings(quiet_seconds=0.01, watch="polling"), known)
        watcher.start(ledger.intake.arriving())
        closed = []
        try:
            while True:
                findings = watcher.look(0.02)
                ledger.intake.record(findings)
                closed += [ledger.work.close_series(one) for one in findings.closures]
                if len(closed) >= closing and not findings.waiting and not findings.arrivals:
                    break
        finally:
            watcher.stop()
        ledger.intake.record_quarantine(
            (path.stem, "why", "1.2") for path in spool.quarantine.glob("*.json")
        )
        return closed

    return look


@pytest.fixture
def balance(path, spool):
    """Function that verifies, with or without reading every file."""
    return lambda **options: verify(path, spool.root, **options)


def test_an_empty_node_balances(ledger, balance):
    assert (balance().acknowledged, balance().losses) == (0, ())


def test_all_that_was_acknowledged_is_accounted_for(
    land, make_instance, journal, watch, balance, ledger
):
    kept = make_instance()
    land(kept)
    land(kept)  # a duplicate
    for _ in range(2):  # a second version, and the same once more
        changed = make_instance(SOPInstanceUID=kept.SOPInstanceUID, PatientID="other")
        land(changed)
    land(make_instance(SeriesInstanceUID="1.2.3.5"))
    journal(stored=2, duplicates=1, quarantined=2)
    first, _ = watch(closing=2)
    reasons = (RuleReason("Keep off", "no", ()), RuleReason("Localizers", "yes", ()))
    ledger.work.record_decision(first, Decision("drop", "Localizers: x", (), reasons), [])
    land(make_instance(SeriesInstanceUID="1.2.3.6"), association_id="still open")
    found = balance(deep=True)
    assert found.losses == ()
    assert found.acknowledged == found.accounted == 6
    assert (found.stored, found.duplicates, found.second_versions, found.untold) == (2, 1, 2, 1)
    assert (found.in_series, found.dropped) == (1, {"Localizers": 1})
    assert (found.quarantined, found.repeated, found.on_the_way) == (1, 2, 1)


def test_a_file_that_is_gone_is_named(land, make_instance, journal, watch, balance):
    _, path = land(make_instance())
    journal(stored=1)
    watch()
    path.unlink()
    assert balance().losses == (Loss("missing", path.stem, "1.2.3.4"),)


def test_a_file_cut_short_is_found_by_its_size(land, make_instance, watch, balance):
    _, path = land(make_instance())
    watch()
    os.truncate(path, 100)
    assert balance().losses == (Loss("size", path.stem, "1.2.3.4"),)
    assert balance(deep=True).losses == balance().losses  # named once


def test_a_flipped_bit_is_found_by_reading_the_file(land, make_instance, watch, balance):
    _, path = land(make_instance())
    watch()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert balance().losses == ()
    assert balance(deep=True).losses == (Loss("sha256", path.stem, "1.2.3.4"),)


def test_what_no_row_remembers_is_missed_by_its_association(
    land, make_instance, journal, watch, balance
):
    land(make_instance())
    journal(stored=3)
    watch()
    found = balance()
    assert found.losses == (Loss("unaccounted", "a1", instances=2),)
    assert found.acknowledged == found.accounted + 2


def test_a_file_gone_from_quarantine_is_named(land, make_instance, journal, watch, balance, spool):
    uid = "1.2.3.4.9"
    land(make_instance(SOPInstanceUID=uid))
    land(make_instance(SOPInstanceUID=uid, PatientID="other"))
    journal(stored=1, quarantined=1)
    watch()
    (aside,) = spool.quarantine.glob("*.dcm")
    aside.unlink()
    assert balance().losses == (Loss("missing", aside.stem),)


@pytest.mark.parametrize("readable", [True, False])
def test_an_instance_set_aside_when_it_was_read_is_accounted_for(
    land, make_instance, journal, watch, balance, readable
):
    _, path = land(make_instance())
    path.write_bytes(b"junk") if not readable else path.rename(path.with_name("9.9.dcm"))
    journal(stored=1)
    watch()
    found = balance()
    assert found.losses == ()
    assert (found.acknowledged, found.accounted, found.quarantined) == (1, 1, 1)


def test_what_retention_deleted_is_no_loss(land, make_instance, journal, watch, balance, ledger):
    _, path = land(make_instance())
    journal(stored=1)
    watch()
    session = ledger.intake._session
    session.execute(
        "INSERT INTO deletions (id, series_id, what, count, bytes, rule, at)"
        " VALUES (1, 1, 'instances', 1, 1, 'All', '2026-01-01')"
    )
    session.execute("UPDATE instances SET deletion_id = 1")
    path.unlink()
    found = balance()
    assert (found.losses, found.deleted) == ((), 1)
    assert found.acknowledged == found.accounted == 1


def test_it_balances_again_after_a_crash_that_lost_the_end_of_an_association(
    land, make_instance, watch, balance, spool
):
    writer = JournalWriter(spool.journal)
    writer.write(AssociationEvent("accepted", now(), "a1", "receiver-0"))
    land(make_instance())
    writer.write(AssociationEvent("started", now(), "receiver-0", "receiver-0"))
    watch()
    assert (balance().untold, balance().losses) == (1, ())


def test_a_rebuilt_ledger_balances_too(land, make_instance, journal, watch, ledger, path, spool):
    for _ in range(3):
        land(make_instance())
    journal(stored=3)
    watch()
    ledger.close()
    rebuild(path, spool.root, spool.root / "results", processes=1)
    found = verify(path, spool.root, deep=True)
    assert (found.acknowledged, found.accounted, found.losses) == (3, 3, ())
    assert LedgerReader(path).series()[0].SeriesInstanceUID == SeriesKey("1.2.3", "1.2.3.4")[1]
