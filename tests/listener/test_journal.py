"""The association journal on a real file."""

import subprocess
import sys

from listener.journal import AssociationEvent, JournalReader, JournalWriter

AT = "2026-01-01T00:00:00.000+00:00"


def test_events_are_read_once_each_and_in_order(tmp_path):
    writer, reader = JournalWriter(tmp_path), JournalReader(tmp_path, {})
    first = AssociationEvent("accepted", AT, "a1", calling_ae="PACS1", address="10.0.0.1")
    second = AssociationEvent("released", AT, "a1", calling_ae="PACS1", stored=3, bytes=9)
    writer.write(first)
    assert list(reader.read()) == [first]
    writer.write(second)
    assert list(reader.read()) == [second]
    assert list(reader.read()) == []


def test_an_event_about_no_association_is_read_as_it_was_written(tmp_path, caplog):
    started = AssociationEvent("started", AT, "", receiver="retrieve-0-0")
    JournalWriter(tmp_path).write(started)
    assert list(JournalReader(tmp_path, {}).read()) == [started]
    assert caplog.text == ""


def test_a_reader_goes_on_where_an_earlier_run_stopped(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.write(AssociationEvent("accepted", AT, "a1"))
    earlier = JournalReader(tmp_path, {})
    list(earlier.read())
    writer.write(AssociationEvent("accepted", AT, "a2"))
    resumed = JournalReader(tmp_path, earlier.offsets)
    assert [event.association_id for event in resumed.read()] == ["a2"]


def test_a_line_that_is_still_being_written_waits_for_its_end(tmp_path):
    reader = JournalReader(tmp_path, {})
    path = tmp_path / "2026-01-01.jsonl"
    line = b'{"event": "accepted", "at": "x", "association_id": "a1"}\n'
    path.write_bytes(line[:20])
    assert list(reader.read()) == []
    path.write_bytes(line)
    assert [event.association_id for event in reader.read()] == ["a1"]


def test_a_damaged_line_costs_only_itself(tmp_path):
    writer = JournalWriter(tmp_path)
    writer.write(AssociationEvent("accepted", AT, "a1"))
    with (tmp_path / "2026-01-01.jsonl").open("ab") as file:
        file.write(
            b'\xff\xfe not JSON\n[1]\n{"event": "danced", "at": "x", "association_id": "z"}\n'
        )
    writer.write(AssociationEvent("accepted", AT, "a2"))
    events = list(JournalReader(tmp_path, {}).read())
    assert [event.association_id for event in events] == ["a1", "a2"]


def test_hostile_ae_titles_cannot_break_a_line(tmp_path):
    title = 'A\r\n{"event": "x"}\x1b[31m'
    JournalWriter(tmp_path).write(AssociationEvent("rejected", AT, "a1", calling_ae=title))
    (event,) = JournalReader(tmp_path, {}).read()
    assert event.calling_ae == title
    assert b"\x1b" not in (tmp_path / "2026-01-01.jsonl").read_bytes()


WRITE_MANY = """
import sys
from pathlib import Path
from listener.journal import AssociationEvent, JournalWriter
writer = JournalWriter(Path(sys.argv[1]))
for index in range(300):
    name = f"{sys.argv[2]}-{index}"
    writer.write(AssociationEvent("accepted", "2026-01-01", name, reason="x" * 200))
"""


def test_several_processes_may_write_at_the_same_time(tmp_path):
    command = [sys.executable, "-c", WRITE_MANY, str(tmp_path)]
    writers = [subprocess.Popen([*command, str(number)]) for number in range(3)]
    assert [process.wait(60) for process in writers] == [0, 0, 0]
    events = list(JournalReader(tmp_path, {}).read())
    assert len(events) == 3 * 300
    assert len({event.association_id for event in events}) == 900


def test_a_disk_that_refuses_the_line_does_not_stop_the_receiver(tmp_path):
    JournalWriter(tmp_path / "absent").write(AssociationEvent("accepted", AT, "a1"))
    assert list(tmp_path.iterdir()) == []


def test_a_line_cut_short_by_a_full_disk_costs_only_itself(tmp_path):
    (tmp_path / "2026-01-01.jsonl").write_bytes(b'{"event": "accepted", "at": "x", "assoc')
    JournalWriter(tmp_path).write(AssociationEvent("accepted", AT, "a2"))
    events = JournalReader(tmp_path, {}).read()
    assert [event.association_id for event in events] == ["a2"]
