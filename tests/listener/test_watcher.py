"""The watcher on a real spool with real inotify and polling. When a series closes: test_grouper.py.

NFS and CIFS, where no events come, are covered by polling on a local filesystem only.
"""

import errno
import hashlib
import os
import time

import pytest
from pydicom.uid import generate_uid
from watchdog.observers import Observer

from listener.errors import WatchingEnded
from listener.journal import AssociationEvent, JournalWriter, now
from listener.retrievals import ListedSeries, Retrieval, Retrievals
from listener.settings import GroupingSettings
from listener.spool import SeriesKey
from listener.watcher import Known, Resumed, ResumedSeries, Watcher

KEY = SeriesKey("1.2.3", "1.2.3.4")
NEVER = 1e6


class Recorded:
    """What a ledger would know: filled from findings, asked by the watcher."""

    def __init__(self):
        self.instances = {}
        self.last = 0.0
        self.offsets = {}

    def known(self):
        return Known(
            lambda key: frozenset(self.instances.get(key, ())),
            lambda uid: frozenset(key for key, uids in self.instances.items() if uid in uids),
            lambda: {key: (len(uids), self.last) for key, uids in self.instances.items()},
            self.offsets,
        )

    def add(self, findings):
        self.offsets = findings.journal_offsets
        if findings.arrivals:
            self.last = time.time()
        for arrival in findings.arrivals:
            self.instances.setdefault(arrival.key, set()).add(
                arrival.header.identity.SOPInstanceUID
            )


@pytest.fixture
def recorded():
    return Recorded()


@pytest.fixture
def watching(spool, recorded):
    """Function that starts a watcher; quiet times are short, rescans never unless asked for."""
    running = []

    def start(arriving=None, **settings):
        settings = {"quiet_seconds": 0.05, "rescan_seconds": NEVER, **settings}
        watcher = Watcher(spool, GroupingSettings(**settings), recorded.known())
        watcher.start(arriving)
        running.append(watcher)
        return watcher

    yield start
    for watcher in running:
        watcher.stop()


@pytest.fixture
def look_until(recorded, wait_until):
    """Function that looks and records until a condition on all findings so far holds."""

    def look(watcher, condition):
        arrivals, closures = [], []

        def looked():
            findings = watcher.look(0.02)
            recorded.add(findings)
            arrivals.extend(findings.arrivals)
            closures.extend(findings.closures)
            return condition(arrivals, closures)

        wait_until(looked, "the watcher to find it", seconds=15)
        return arrivals, closures

    return look


def closed(count):
    return lambda _, closures: len(closures) >= count


@pytest.fixture
def associations(spool):
    """Function that writes journal events of an association."""
    writer = JournalWriter(spool.journal)

    def write(*names, association_id="a1"):
        for name in names:
            writer.write(AssociationEvent(name, now(), association_id, calling_ae="PACS1"))

    return write


@pytest.mark.parametrize("watch", ["auto", "events", "polling"])
def test_instances_that_land_are_seen_and_their_series_closes(
    watching, look_until, land, make_instance, associations, watch
):
    watcher = watching(watch=watch)
    associations("accepted")
    uids = {land(make_instance(InstanceNumber=n))[1].stem for n in range(1, 6)}
    associations("released")
    arrivals, (closure,) = look_until(watcher, closed(1))
    assert {arrival.path.stem for arrival in arrivals} == uids
    assert (closure.key, closure.grade) == (KEY, "released")
    assert closure.evidence.startswith("association released, then quiet for")
    assert arrivals[0].header.origin.calling_ae == "PACS1"


def test_an_arrival_has_the_size_and_the_digest_of_its_file(
    watching, look_until, land, make_instance
):
    watcher = watching()
    _, path = land(make_instance())
    (arrival,), _ = look_until(watcher, closed(1))
    assert arrival.bytes == path.stat().st_size
    assert arrival.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_interleaved_series_are_told_apart(watching, look_until, land, make_instance):
    watcher = watching()
    for number in range(10):
        land(make_instance(SeriesInstanceUID=f"1.2.3.{number % 2 + 4}", InstanceNumber=number))
    arrivals, closures = look_until(watcher, closed(2))
    assert len(arrivals) == 10
    assert {closure.key.SeriesInstanceUID for closure in closures} == {"1.2.3.4", "1.2.3.5"}


def test_what_landed_while_nobody_watched_is_found_at_the_start(
    watching, look_until, land, make_instance
):
    land(make_instance())
    arrivals, _ = look_until(watching(), closed(1))
    assert len(arrivals) == 1


def test_what_was_recorded_before_is_not_read_again(watching, look_until, land, make_instance):
    land(make_instance())
    look_until(watching(), closed(1))
    land(make_instance())
    arrivals, _ = look_until(watching(), closed(1))
    assert len(arrivals) == 1


def test_a_rescan_finds_what_no_event_told(watching, look_until, land, make_instance, monkeypatch):
    watcher = watching(rescan_seconds=0.1)
    monkeypatch.setattr(watcher._landed, "take", set)  # as if the kernel dropped every event
    land(make_instance())
    arrivals, _ = look_until(watcher, closed(1))
    assert len(arrivals) == 1


def test_a_series_never_closes_before_a_file_that_lies_in_its_folder_was_read(
    watching, look_until, land, make_instance, monkeypatch
):
    watcher = watching(rescan_seconds=NEVER)
    land(make_instance(InstanceNumber=1))
    look_until(watcher, lambda arrivals, _: len(arrivals) == 1)
    monkeypatch.setattr(watcher._landed, "take", set)
    land(make_instance(InstanceNumber=2))
    arrivals, closures = look_until(watcher, closed(1))
    assert len(arrivals) == 1
    assert len(closures) == 1


def test_a_late_instance_opens_its_series_anew(watching, look_until, land, make_instance):
    watcher = watching()
    land(make_instance())
    look_until(watcher, closed(1))
    land(make_instance())
    arrivals, closures = look_until(watcher, closed(1))
    assert (len(arrivals), len(closures)) == (1, 1)


def test_a_series_that_was_arriving_when_an_earlier_run_ended_still_closes(
    watching, look_until, land, make_instance, recorded, associations
):
    associations("accepted", "released")
    land(make_instance())
    look_until(watching(quiet_seconds=NEVER), lambda arrivals, _: len(arrivals) == 1)
    recorded.offsets = {}
    arriving = ResumedSeries(KEY, "CT", "PACS1", frozenset({"a1"}))
    _, (closure,) = look_until(watching(arriving=Resumed((arriving,))), closed(1))
    assert closure.grade == "released"


@pytest.mark.parametrize("content", [b"junk", b"\0" * 128 + b"DICM"])
def test_a_file_that_cannot_be_read_is_set_aside_and_the_rest_goes_on(
    watching, spool, land, make_instance, wait_until, content
):
    watcher = watching()
    _, path = land(make_instance())
    path.with_name(f"{generate_uid()}.dcm").write_bytes(content)
    seen = []
    wait_until(lambda: seen.append(watcher.look(0.02)) or seen[-1].set_aside, "the bad file")
    assert len(list(spool.quarantine.glob("*.dcm"))) == 1
    assert sum(len(findings.arrivals) for findings in seen) == 1


def test_a_file_under_another_instances_name_is_set_aside(
    watching, spool, land, make_instance, wait_until
):
    _, path = land(make_instance())
    path.rename(path.with_name("9.9.9.dcm"))
    watcher = watching()
    wait_until(lambda: watcher.look(0.02).set_aside, "the file under a wrong name")
    assert [p.name for p in spool.instances.rglob("*.dcm")] == []


def test_polling_takes_over_loudly_where_the_kernel_refuses_events(
    watching, look_until, land, make_instance, monkeypatch, caplog
):
    def refuse(_observer):
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    monkeypatch.setattr(Observer, "start", refuse)
    watcher = watching()
    land(make_instance())
    arrivals, _ = look_until(watcher, closed(1))
    assert len(arrivals) == 1
    assert "watching by polling: the kernel refuses (inotify watch limit reached)" in caplog.text


@pytest.mark.parametrize("watch", ["events", "polling"])
def test_a_watcher_whose_thread_has_ended_says_so(watching, watch):
    watcher = watching(watch=watch)
    watcher.look(0.01)
    for emitter in watcher._landed._observer.emitters:
        emitter.stop()
        emitter.join()
    with pytest.raises(WatchingEnded):
        watcher.look(0.01)


def test_an_instance_that_landed_unwatched_is_found_though_another_has_gone(
    watching, look_until, land, make_instance
):
    """As many files as were recorded need not be the same files."""
    first = watching()
    _, gone = land(make_instance())
    look_until(first, lambda arrivals, _: len(arrivals) == 1)
    first.stop()
    gone.unlink()
    _, landed = land(make_instance())
    arrivals, _ = look_until(watching(), lambda arrivals, _: arrivals)
    assert [arrival.path for arrival in arrivals] == [landed]


def test_the_second_of_two_instances_of_one_uid_in_two_series_is_set_aside(
    watching, look_until, land, make_instance, spool
):
    uid = "1.2.3.4.5"
    _, kept = land(make_instance(SOPInstanceUID=uid))
    watcher = watching()
    look_until(watcher, lambda arrivals, _: len(arrivals) == 1)
    _, second = land(make_instance(SOPInstanceUID=uid, SeriesInstanceUID="1.2.3.5"))
    look_until(watcher, lambda *_: not second.exists())
    assert kept.exists()
    (reason,) = spool.quarantine.glob("*.json")
    assert "kept before in another series" in reason.read_text()


@pytest.mark.parametrize("second_series", ["1.2.3.0", "1.2.3.9"])
def test_of_two_that_are_found_together_the_one_that_was_written_first_counts(
    watching, look_until, land, make_instance, second_series
):
    uid = "1.2.3.4.5"
    _, first = land(make_instance(SOPInstanceUID=uid))
    _, second = land(make_instance(SOPInstanceUID=uid, SeriesInstanceUID=second_series))
    written = first.stat().st_mtime_ns
    os.utime(second, ns=(written + 1, written + 1))
    look_until(watching(), lambda arrivals, _: len(arrivals) == 1)
    assert (first.exists(), second.exists()) == (True, False)


def test_a_series_closes_on_the_list_that_a_retrieval_left_in_the_spool(
    watching, look_until, land, make_instance, spool
):
    uids = [generate_uid() for _ in range(3)]
    listed = {KEY.SeriesInstanceUID: ListedSeries(None, frozenset(uids))}
    Retrievals(spool.root).note(Retrieval(KEY.StudyInstanceUID, "PACS1", listed))
    watcher = watching(quiet_seconds=NEVER)
    for number, uid in enumerate(uids, 1):
        land(make_instance(SOPInstanceUID=uid, InstanceNumber=number))
    _, (closure,) = look_until(watcher, closed(1))
    assert (closure.grade, closure.expected, closure.missing) == ("listed", 3, 0)


def test_a_late_instance_counts_with_those_of_earlier_revisions(
    watching, look_until, land, make_instance, spool
):
    watcher = watching()
    uids = [generate_uid() for _ in range(2)]
    land(make_instance(SOPInstanceUID=uids[0]))
    look_until(watcher, closed(1))
    listed = {KEY.SeriesInstanceUID: ListedSeries(None, frozenset(uids))}
    Retrievals(spool.root).note(Retrieval(KEY.StudyInstanceUID, "PACS1", listed, ended=True))
    land(make_instance(SOPInstanceUID=uids[1]))
    _, (closure,) = look_until(watcher, closed(1))
    assert closure.grade == "listed"


def test_what_the_headers_say_against_being_whole_is_in_the_evidence(
    watching, look_until, land, make_instance
):
    watcher = watching(quiet_seconds=1)
    for number in (1, 2, 4):
        land(make_instance(InstanceNumber=number))
    _, (closure,) = look_until(watcher, closed(1))
    assert closure.header_findings == 1
    assert closure.evidence.endswith("; no InstanceNumber 3")


def test_a_study_closes_after_its_series(watching, wait_until, land, make_instance, recorded):
    watcher = watching(study_quiet_seconds=0.2)
    land(make_instance())
    land(make_instance(SeriesInstanceUID="1.2.3.5"))
    seen = []

    def closed_study():
        findings = watcher.look(0.02)
        recorded.add(findings)
        seen.extend((*findings.closures, *findings.studies))
        return findings.studies

    wait_until(closed_study, "the study to close")
    assert [type(one).__name__ for one in seen] == ["Closure", "Closure", "StudyClosure"]
    assert seen[-1].StudyInstanceUID == KEY.StudyInstanceUID


def test_a_study_that_was_arriving_when_an_earlier_run_ended_still_closes(
    spool, recorded, wait_until
):
    watcher = Watcher(spool, GroupingSettings(study_quiet_seconds=0.1), recorded.known())
    watcher.start(Resumed(studies={"1.2.3": frozenset()}))
    try:
        wait_until(lambda: watcher.look(0.02).studies, "the study to close")
    finally:
        watcher.stop()


def test_an_association_that_was_open_when_an_earlier_run_ended_still_blocks(
    watching, look_until, land, make_instance, recorded, associations
):
    land(make_instance())
    look_until(watching(quiet_seconds=NEVER), lambda arrivals, _: len(arrivals) == 1)
    series = ResumedSeries(KEY, "CT", "PACS1", frozenset({"a1"}))
    was_open = AssociationEvent("accepted", now(), "a1", "receiver-0")
    watcher = watching(arriving=Resumed((series,), {}, (was_open,)))
    looks = [watcher.look(0.05) for _ in range(8)]  # many quiet times
    assert not any(findings.closures for findings in looks)
    associations("released")
    _, (closure,) = look_until(watcher, closed(1))
    assert closure.grade == "released"
