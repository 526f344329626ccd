"""The spool on a real filesystem. Power loss is covered only by the order of system calls."""

import json
import os
import threading

import pydicom
import pytest

from listener.errors import SpoolUnavailable
from listener.identity import Identity
from listener.incoming import Incoming
from listener.spool import Spool, SpoolSettings


def test_an_instance_lies_under_its_uids_as_a_part_10_file(spool, land, make_instance):
    outcome, path = land(make_instance(SOPInstanceUID="1.5"))
    assert outcome == "kept"
    assert path == spool.instances / "1.2.3" / "1.2.3.4" / "1.5.dcm"
    assert pydicom.dcmread(path).PatientID == "P1"
    assert list(spool.incoming.iterdir()) == []


def test_the_same_bytes_again_are_a_duplicate_whoever_sends_them(land, make_instance):
    instance = make_instance(SOPInstanceUID="1.5")
    _, path = land(instance, calling_ae="PACS1")
    before = path.read_bytes()
    outcome, _ = land(instance, calling_ae="OTHER")
    assert outcome == "duplicate"
    assert path.read_bytes() == before


def test_other_bytes_under_the_same_uid_go_to_quarantine_and_the_first_stay(
    spool, land, make_instance
):
    _, path = land(make_instance(SOPInstanceUID="1.5"))
    before = path.read_bytes()
    second = make_instance(SOPInstanceUID="1.5", PatientID="P2")
    assert land(second)[0] == "quarantined"
    assert land(second)[0] == "quarantined"  # sent again, it is not kept twice
    assert path.read_bytes() == before
    (kept,) = spool.quarantine.glob("*.dcm")
    assert pydicom.dcmread(kept).PatientID == "P2"
    reason = json.loads(kept.with_suffix(".json").read_text())
    assert reason["SeriesInstanceUID"] == "1.2.3.4"
    assert "P2" not in str(reason)


def test_of_two_versions_sent_at_the_same_moment_one_is_kept_and_one_quarantined(
    spool, land, make_instance
):
    versions = [make_instance(SOPInstanceUID="1.5", PatientID=f"P{n}") for n in range(8)]
    start = threading.Barrier(len(versions))
    outcomes = []

    def send(instance):
        start.wait()
        outcomes.append(land(instance)[0])

    threads = [threading.Thread(target=send, args=[version]) for version in versions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["kept"] + ["quarantined"] * 7
    assert len(list(spool.quarantine.glob("*.dcm"))) == 7


def test_below_the_free_space_floor_nothing_is_written(tmp_path, make_instance):
    spool = Spool(SpoolSettings(tmp_path, free_bytes_min=1 << 60))
    with pytest.raises(SpoolUnavailable, match="free_bytes_min"):
        land_in(spool, make_instance())
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []


def test_after_a_refusal_a_quarter_more_than_the_floor_must_be_free(tmp_path):
    status = os.statvfs(tmp_path)
    free = status.f_bavail * status.f_frsize
    spool = Spool(SpoolSettings(tmp_path, free_bytes_min=free // 2))
    nearly = free * 45 // 100  # with half of it that is more than the floor, and less than 5/4
    spool.require_space(nearly)
    with pytest.raises(SpoolUnavailable):
        spool.require_space(free)
    with pytest.raises(SpoolUnavailable):
        spool.require_space(nearly)
    spool.require_space(0)
    spool.require_space(nearly)


def test_a_disk_that_refuses_is_said_so_and_leaves_nothing(spool, land, make_instance):
    spool.instances.rmdir()
    spool.instances.write_text("not a folder")  # as good as a failing disk, also for root
    with pytest.raises(SpoolUnavailable):
        land(make_instance())
    assert list(spool.incoming.iterdir()) == []


def test_what_an_earlier_run_left_unfinished_is_discarded(spool):
    (spool.incoming / "half").write_bytes(b"unacknowledged")
    assert spool.discard_incoming() == 1
    assert list(spool.incoming.iterdir()) == []


def test_a_file_set_aside_keeps_its_bytes_and_its_reason(spool):
    folder = spool.instances / "1.2" / "1.3"
    folder.mkdir(parents=True)
    (folder / "1.4.dcm").write_bytes(b"junk")
    target = spool.set_aside(folder / "1.4.dcm", "not Part 10")
    assert target.read_bytes() == b"junk"
    assert json.loads(target.with_suffix(".json").read_text())["reason"] == "not Part 10"
    assert list(folder.iterdir()) == []


def land_in(spool, instance):
    identity = Identity("1.2.3", "1.2.3.4", instance.SOPInstanceUID, instance.SOPClassUID)
    incoming = Incoming(spool, b"")
    incoming.write([memoryview(b"data")])
    return incoming.keep(identity)
