"""What came, for the audit trail: from the journal and a ledger that a real watcher fills.

Receivers' own journals: tests/acceptance/test_audit.py.
"""

import json
from contextlib import suppress
from dataclasses import replace
from io import BytesIO

import pytest
from pydicom import dcmwrite
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

from ledger.writer import LedgerWriter
from listener.journal import AssociationEvent, JournalWriter, now
from listener.spool import Spool, SpoolSettings
from listener.watcher import Known, Watcher
from safelight.audit_deeds import audit_trail
from safelight.getting import shelf
from safelight.receptions import Receptions, begin_to_tell
from web_status.settings import AuditSettings


def instance(study, number):
    """The bytes of a dataset without pixels."""
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, f"{study}.1.{number}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = study, f"{study}.1"
    ds.Modality, ds.PatientID, ds.PatientName = "CT", f"ID-{study}", "DOE^JANE"
    content = BytesIO()
    dcmwrite(content, ds, implicit_vr=False, little_endian=True, enforce_file_format=False)
    return ds.SOPInstanceUID, content.getbuffer()


@pytest.fixture
def bring(config):
    """Function that brings instances of studies by one association, as a retrieve does."""

    def come(studies, sender="PACS1", *, cut=False):
        settings = SpoolSettings(config.storage.spool, 0)
        with (
            suppress(TypeError),
            shelf(settings, "retrieve-0-0", sender, "SAFELIGHT", 1 << 20) as door,
        ):
            for study, count in studies.items():
                for number in range(count):
                    uid, content = instance(study, number)
                    door.keep_pieces(CTImageStorage, uid, ExplicitVRLittleEndian, [content])
            assert not cut or door.keep_pieces()  # an error ends it

    begin_to_tell(config)
    return come


@pytest.fixture
def note(config):
    """Function that writes an event into the journal."""

    def write(event, **values):
        event = AssociationEvent(event, now(), values.pop("id", ""), **values)
        folder = config.storage.spool / "journal"
        folder.mkdir(parents=True, exist_ok=True)
        JournalWriter(folder).write(event)

    begin_to_tell(config)
    return write


@pytest.fixture
def catch_up(config):
    """Function that has the ledger record what is in the spool: so many instances."""

    def until(instances):
        spool = Spool(SpoolSettings(config.storage.spool, 0), "coordinator")
        with LedgerWriter(config.storage.ledger) as ledger:
            intake = ledger.intake
            known = Known(
                *(intake.sop_instance_uids, intake.series_of, intake.counts),
                intake.journal_offsets(),
            )
            watcher = Watcher(spool, config.series, known)
            watcher.start(intake.arriving())
            intake.record(watcher.look(0))
            watcher.stop()
            assert sum(count for count, _ in intake.counts().values()) == instances

    return until


@pytest.fixture
def tell(config):
    """Function that tells the trail as a daemon does that has just started; returns its deeds."""

    def told(config=config, clock=lambda: 0.0, **options):
        caught_up = options.get("caught_up", True)
        Receptions(config, audit_trail(config), lambda: caught_up, clock).step()
        path = config.storage.data / "audit.log"
        lines = path.read_text().splitlines() if path.exists() else []
        deeds = [json.loads(line) for line in lines]
        return [
            {
                key: value
                for key, value in deed.items()
                if value and key not in ("at", "message", "number", "previous")
            }
            for deed in deeds
        ]

    return told


def short(deeds):
    return [
        (deed["action"], deed.get("peer"), deed.get("study"), deed.get("instances"))
        for deed in deeds
    ]


def test_each_study_that_an_association_brought_is_told_once(bring, catch_up, tell, config):
    bring({"1.2.1": 3, "1.2.2": 1})
    catch_up(4)
    expected = [
        ("instances received", "PACS1", "1.2.1", 3),
        ("instances received", "PACS1", "1.2.2", 1),
    ]
    assert short(tell()) == expected
    assert short(tell()) == expected  # after a restart
    text = (config.storage.data / "audit.log").read_text()
    assert "DOE" not in text
    assert "ID-" not in text


def test_patient_ids_are_told_where_the_site_wants_them_and_names_never(
    bring, catch_up, tell, config
):
    bring({"1.2.1": 1})
    catch_up(1)
    (deed,) = tell(replace(config, audit=AuditSettings(patient=True)))
    assert deed["patient"] == "ID-1.2.1"
    text = (config.storage.data / "audit.log").read_text()
    assert r"ParticipantObjectID=\"ID-1.2.1\"" in text
    assert "DOE" not in text


def test_nothing_is_told_before_the_ledger_has_it_and_nothing_is_left_out(bring, catch_up, tell):
    bring({"1.2.1": 2})
    assert tell() == []  # there is no ledger
    catch_up(2)
    assert tell(caught_up=False) == []
    bring({"1.2.2": 1})
    assert tell() == []  # the journal is further than the ledger
    catch_up(3)
    assert [study for _, _, study, _ in short(tell())] == ["1.2.1", "1.2.2"]


def test_a_crash_before_it_is_remembered_tells_the_latest_twice(bring, catch_up, tell, config):
    kept = config.storage.data / "audit-told.json"
    before = kept.read_bytes()
    bring({"1.2.1": 2})
    catch_up(2)
    once = short(tell())
    kept.write_bytes(before)
    assert short(tell()) == once * 2


def test_what_came_before_there_was_a_trail_is_not_told(bring, catch_up, tell, config):
    bring({"1.2.1": 1})
    (config.storage.data / "audit-told.json").unlink()
    begin_to_tell(config)
    bring({"1.2.2": 1})
    catch_up(2)
    assert [study for _, _, study, _ in short(tell())] == ["1.2.2"]


def test_an_association_that_broke_is_told_with_what_it_brought(bring, catch_up, tell):
    bring({"1.2.1": 2}, cut=True)
    catch_up(2)
    (deed,) = tell()
    assert (deed["instances"], deed["problem"]) == (2, "aborted")


def test_what_a_killed_receiver_had_brought_is_told_when_it_is_back(
    bring, note, catch_up, tell, config
):
    bring({"1.2.1": 2})
    journal = next((config.storage.spool / "journal").glob("*.jsonl"))
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join(line for line in lines if "released" not in line))
    note("started", receiver="retrieve-0-0")
    catch_up(2)
    (deed,) = tell()
    assert short([deed]) == [("instances received", "PACS1", "1.2.1", 2)]
    assert deed["problem"] == "the receiver ended"


def test_instances_that_were_here_already_are_told_by_their_number(bring, catch_up, tell):
    bring({"1.2.1": 2})
    bring({"1.2.1": 2}, sender="PACS2")
    catch_up(2)
    assert short(tell())[-1] == ("instances received", "PACS2", None, 2)


def test_what_the_ledger_never_gets_is_told_after_a_while(note, catch_up, tell, config):
    note("accepted", id="a1", calling_ae="PACS1", address="10.1.2.3")
    note("released", id="a1", calling_ae="PACS1", address="10.1.2.3", stored=2)
    catch_up(0)
    clock = iter((0.0, 89.0, 91.0))  # a minute, and a rescan
    receptions = Receptions(config, audit_trail(config), lambda: True, lambda: next(clock))
    receptions.step()
    assert not (config.storage.data / "audit.log").exists()
    receptions.step()
    (deed,) = tell()
    assert short([deed]) == [("instances received", "PACS1", None, 2)]
    assert deed["address"] == "10.1.2.3"


def test_who_was_rejected_is_told_with_the_reason(note, catch_up, tell):
    note("rejected", id="a1", calling_ae="NOBODY", address="10.9.9.9", reason="not known")
    note("rejected", id="a2", address="10.9.9.8", reason="the TLS handshake failed: no shared")
    catch_up(0)
    known, unknown = tell()
    assert (known["peer"], known["address"], known["problem"]) == (
        *("NOBODY", "10.9.9.9", "not known"),
    )
    assert (unknown.get("peer"), unknown["address"]) == (None, "10.9.9.8")


def test_an_upload_is_told_as_an_import(bring, catch_up, tell):
    bring({"1.2.1": 1}, sender="UPLOAD")
    catch_up(1)
    assert short(tell()) == [("instances imported", None, "1.2.1", 1)]
