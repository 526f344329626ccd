"""Deliveries in every order, against the real watcher on a real spool: no wrong set, none lost.

A schedule is what several associations bring of several series, interleaved, split, repeated and
late, with the quiet times between drawn at random; the clock is the test's. 1,000 schedules are
played by ``make schedules``, a hundred with the other tests. Events of the kernel are not part of
it: the rescan finds every file, as it does where there are none.
"""

import shutil
import tempfile
from collections import defaultdict
from pathlib import Path

from hypothesis import HealthCheck, example, given, seed, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom.dsutils import encode

from ledger.writer import LedgerWriter
from listener.identity import Identity
from listener.incoming import Incoming
from listener.journal import AssociationEvent, JournalWriter, now
from listener.part10 import Origin, encode_file_meta
from listener.settings import GroupingSettings
from listener.spool import SeriesKey, Spool, SpoolSettings
from listener.watcher import Known, Watcher

SERIES, INSTANCES, ASSOCIATIONS = 3, 6, 3
QUIET = 10.0

deliver = st.tuples(
    st.just("deliver"),
    st.integers(0, ASSOCIATIONS - 1),
    st.integers(0, SERIES - 1),
    st.integers(0, INSTANCES - 1),
)
wait = st.tuples(st.just("wait"), st.sampled_from([0.5, QUIET / 2, QUIET + 1, 40 * QUIET]))
release = st.tuples(
    st.just("end"), st.integers(0, ASSOCIATIONS - 1), st.sampled_from(["released", "aborted"])
)
look = st.tuples(st.just("look"))
restart = st.tuples(st.just("restart"))
schedules = st.lists(
    st.one_of(deliver, deliver, deliver, deliver, wait, release, look, restart),
    min_size=12,
    max_size=60,
)


class Play:
    """A watcher with its ledger, a clock, and what was delivered so far."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.spool = Spool(SpoolSettings(folder / "spool", free_bytes_min=0, durable=False))
        self.journal = JournalWriter(self.spool.journal)
        self.ledger = LedgerWriter(folder / "ledger.sqlite")
        self.time = 0.0
        self.open = {}
        self.count = 0
        self.here = defaultdict(set)
        self.closed = defaultdict(list)
        self.watcher = None
        self.restart()

    def restart(self):
        """End the watcher as the daemon ends it, and begin anew with what the ledger knows."""
        if self.watcher is not None:
            self.watcher.stop()
        intake = self.ledger.intake
        known = Known(
            *(intake.sop_instance_uids, intake.series_of, intake.counts),
            intake.journal_offsets(),
        )
        rules = GroupingSettings(quiet_seconds=QUIET, rescan_seconds=1e-9, watch="polling")
        self.watcher = Watcher(self.spool, rules, known, self.clock)
        self.watcher._landed.start = lambda *_: None  # the rescan is what is tested
        self.watcher._gather = lambda: None  # that clock stands still between steps
        self.watcher.start(intake.arriving())

    def clock(self):
        """The time; it never stands still, so that a rescan is always due."""
        self.time += 1e-6
        return self.time

    def deliver(self, association, series, instance):
        """Store an instance as a receiver does; its association begins with its first."""
        if association not in self.open:
            self.count += 1
            self.open[association] = f"a{self.count}"
            self.journal.write(AssociationEvent("accepted", now(), self.open[association]))
        dataset = Dataset()
        dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"1.2.{series}.{instance}"
        dataset.StudyInstanceUID, dataset.SeriesInstanceUID = f"1.{series % 2}", f"1.2.{series}"
        dataset.Modality, dataset.InstanceNumber = "CT", instance
        identity = Identity(
            dataset.StudyInstanceUID,
            dataset.SeriesInstanceUID,
            dataset.SOPInstanceUID,
            dataset.SOPClassUID,
        )
        origin = Origin("PACS", "SAFELIGHT", self.open[association])
        meta = encode_file_meta(
            CTImageStorage, dataset.SOPInstanceUID, ExplicitVRLittleEndian, origin
        )
        incoming = Incoming(self.spool, meta)
        incoming.write([memoryview(encode(dataset, False, True))])
        incoming.keep(identity)
        key = SeriesKey(identity.StudyInstanceUID, identity.SeriesInstanceUID)
        self.here[key].add(dataset.SOPInstanceUID)

    def wait(self, seconds):
        self.look()
        self.time += seconds
        self.look()

    def end(self, association, how):
        if association in self.open:
            self.journal.write(AssociationEvent(how, now(), self.open.pop(association)))

    def look(self):
        """Look and record as the pipeline does; whatever closes must hold all that is here."""
        self.watcher.wake()
        while True:
            findings = self.watcher.look(0)
            self.ledger.intake.record(findings)
            for closure in findings.closures:
                self.close(closure)
            for study in findings.studies:
                self.ledger.work.close_study(study)
            if not (findings.arrivals or findings.waiting):
                return
            self.watcher.wake()

    def close(self, closure):
        closed = self.ledger.work.close_series(closure)
        earlier = self.closed[closure.key]
        assert set(closed.sop_instance_uids) == self.here[closure.key], "a wrong set"
        assert len(closed.sop_instance_uids) == len(set(closed.sop_instance_uids))
        assert closed.revision == len(earlier) + 1
        assert not earlier or set(earlier[-1]) < set(closed.sop_instance_uids), "nothing was late"
        earlier.append(closed.sop_instance_uids)

    def finish(self):
        """Let every association end, and everything be quiet."""
        for association in tuple(self.open):
            self.end(association, "released")
        for _ in range(3):
            self.wait(100 * QUIET)

    def stop(self):
        self.watcher.stop()
        self.ledger.close()


def play(schedule):
    """Play one schedule, and check what became of everything it delivered."""
    folder = Path(tempfile.mkdtemp(prefix="schedule-"))
    played = Play(folder)
    try:
        for name, *arguments in schedule:
            getattr(played, name)(*arguments)
        played.finish()
        last = {key: set(revisions[-1]) for key, revisions in played.closed.items()}
        assert last == dict(played.here), "lost"
        placed = [uid for uids in last.values() for uid in uids]
        assert len(placed) == len(set(placed)), "in two sets"
        assert not any(played.spool.quarantine.iterdir())
        assert not played.ledger.intake.arriving().series
    finally:
        played.stop()
        shutil.rmtree(folder)
    return sum(len(revisions) for revisions in played.closed.values())


LATE = [("deliver", 0, 0, 0), ("end", 0, "released"), ("wait", QUIET + 1), ("deliver", 1, 0, 1)]
ACROSS = [("deliver", 0, 0, 0), ("look",), ("restart",), ("deliver", 0, 0, 1), ("wait", QUIET + 1)]


def test_a_late_instance_makes_the_next_revision():
    assert play(LATE) == 2


def test_an_open_association_holds_its_series_over_a_restart():
    assert play(ACROSS) == 1


def test_every_schedule_ends_in_the_right_sets(sweep):
    played, revisions = 0, 0

    @seed(sweep.seed)
    @settings(
        max_examples=1000 if sweep.full else 100,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @example(LATE)
    @example(ACROSS)
    @given(schedules)
    def every(schedule):
        nonlocal played, revisions
        revisions += play(schedule)
        played += 1

    every()
    sweep.note(f"{played} schedules, {revisions} revisions closed, 0 wrong sets, 0 lost")
