"""A ledger made again from its spool and results, compared with the one that was lost.

What the daemon does with it when it starts is in test_ledger_opening.py of the wiring.
"""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.reader import LedgerReader
from ledger.rebuild import rebuild
from ledger.records import NewJob
from ledger.writer import LedgerWriter
from listener.journal import AssociationEvent, JournalWriter, now
from listener.series import Closure
from listener.settings import GroupingSettings
from listener.spool import SeriesKey
from listener.watcher import Findings, Known, Watcher
from processor.model import JobRequest, JobResult, Output, StepResult
from processor.publish import publish
from rules.model import Decision, Step

KEY = SeriesKey("1.2.3", "1.2.3.4")
OTHER = SeriesKey("1.2.3", "1.2.3.5")
STEPS = (Step("qc", {"border": 3}),)


class Node:
    """A ledger that was filled as the daemon fills it: from a watched spool, with results."""

    processes = 1

    def __init__(self, folder, spool):
        self.folder, self.spool = folder, spool
        self.path, self.results = folder / "ledger.sqlite", folder / "results"
        self.results.mkdir()
        self.journal = JournalWriter(spool.journal)

    def run(self, closing):
        """Watch until so many series have closed; process each."""
        with LedgerWriter(self.path) as ledger:
            intake = ledger.intake
            known = Known(
                *(intake.sop_instance_uids, intake.series_of, intake.counts),
                intake.journal_offsets(),
            )
            settings = GroupingSettings(quiet_seconds=0.01, watch="polling")
            watcher = Watcher(self.spool, settings, known)
            watcher.start(intake.arriving())
            try:
                while closing:
                    findings = watcher.look(0.02)
                    intake.record(findings)
                    for closure in findings.closures:
                        self.process(ledger, ledger.work.close_series(closure))
                        closing -= 1
            finally:
                watcher.stop()

    def process(self, ledger, series):
        if series.key == OTHER:  # nothing is made of it
            ledger.work.record_decision(series, Decision("keep", "no rule matched", (), ()), [])
            return
        key = f"{series.revision}" * 64
        job = NewJob(key, "All", STEPS)
        ledger.work.record_decision(series, Decision("process", "All -> qc", (), ()), [job])
        (claimed,) = ledger.jobs.claim(1)
        temporary = self.folder / key
        temporary.mkdir()
        (temporary / "preview.png").write_bytes(b"picture")
        step = StepResult(
            "qc", "done", "Normal", {"low": 0}, (Output("preview.png", "preview", 7, "ab"),)
        )
        result = JobResult(key, Path("A1", f"001-{key[:8]}"), (step,), 1.5)
        facts = {"grade": series.grade, "evidence": series.evidence}
        facts |= {"instances": len(series.sop_instance_uids), "instances_expected": series.expected}
        request = JobRequest(
            key=key,
            study_uid=series.key.StudyInstanceUID,
            series_uid=series.key.SeriesInstanceUID,
            revision=series.revision,
            digest=series.digest,
            rule="All",
            steps=STEPS,
            files=(),
            facts=facts,
            scratch=self.folder,
            results=self.results,
        )
        publish(temporary, request, result, {"qc": "1"})
        ledger.jobs.finish(claimed, result)

    def rebuild(self):
        return rebuild(self.path, self.spool.root, self.results, processes=self.processes)

    def said(self):
        """What the ledger says that a person asks for, without numbers and times of its own."""
        reader = LedgerReader(self.path)
        try:
            told = {}
            for row in reader.series():
                key = (row.StudyInstanceUID, row.SeriesInstanceUID)
                told[key] = (
                    *(row.PatientID, row.Modality, row.instances, row.bytes, row.calling_ae),
                    *(row.revision, row.grade, row.evidence, row.missing, row.state, row.results),
                    [_said_of(job) for job in reader.jobs_of(row.id)],
                )
            associations = [replace(row) for row in reader.associations()]
            return told, associations, {row.name for row in reader.quarantine()}
        finally:
            reader.close()


def _said_of(job):
    outputs = [(one.processor, one.path, one.kind, one.bytes, one.sha256) for one in job.outputs]
    return (job.key, job.revision, job.rule, job.state, job.folder, job.steps, outputs)


@pytest.fixture
def node(tmp_path, spool):
    return Node(tmp_path, spool)


@pytest.fixture
def delivered(node, land, make_instance):
    """Two instances and a second version on an association, closed, processed; then a late one."""
    first = make_instance()
    node.journal.write(AssociationEvent("accepted", now(), "a1", "r", "PACS1"))
    land(first)
    land(make_instance())
    land(make_instance(SOPInstanceUID=first.SOPInstanceUID, PatientID="other"))
    node.journal.write(
        AssociationEvent("released", now(), "a1", "r", "PACS1", stored=2, quarantined=1)
    )
    node.run(closing=1)
    land(make_instance())
    node.run(closing=1)
    with LedgerWriter(node.path) as ledger:
        ledger.intake.record_quarantine(
            (path.stem, "r", KEY.SeriesInstanceUID) for path in node.spool.quarantine.glob("*.json")
        )
    return node


def test_series_grades_states_and_results_are_as_before(delivered):
    before = delivered.said()
    assert before[0][KEY][9] == "done"
    rebuilt = delivered.rebuild()
    assert delivered.said() == before
    assert (rebuilt.series, rebuilt.instances, rebuilt.jobs, rebuilt.quarantined) == (1, 3, 2, 1)


def test_revisions_hold_the_instances_they_held(delivered):
    def revisions():
        with LedgerWriter(delivered.path) as ledger:
            closed = [ledger.work.closed_series(1, revision) for revision in (1, 2)]
        return [(set(one.sop_instance_uids), one.digest, one.grade) for one in closed]

    before = revisions()
    delivered.rebuild()
    assert revisions() == before


def test_the_earlier_ledger_is_kept_as_it_was(delivered):
    content = delivered.path.read_bytes()
    rebuilt = delivered.rebuild()
    assert rebuilt.set_aside.read_bytes() == content
    again = delivered.rebuild()
    assert again.set_aside not in (rebuilt.set_aside, None)
    assert rebuilt.set_aside.read_bytes() == content


def test_a_damaged_ledger_is_kept_and_the_new_one_is_as_before(delivered):
    before = delivered.said()
    delivered.path.write_bytes(b"damaged " * 1000)
    rebuilt = delivered.rebuild()
    assert rebuilt.set_aside.read_bytes() == b"damaged " * 1000
    assert delivered.said() == before


def test_a_series_without_results_is_arriving_and_closes_with_its_grade(node, land, make_instance):
    node.journal.write(AssociationEvent("accepted", now(), "a1", "r", "PACS1"))
    land(make_instance(SeriesInstanceUID=OTHER.SeriesInstanceUID))
    node.journal.write(AssociationEvent("released", now(), "a1", "r", "PACS1", stored=1))
    node.run(closing=1)
    before = node.said()
    node.rebuild()
    (told,) = node.said()[0].values()
    assert told[9] == "arriving"
    node.run(closing=1)
    assert node.said()[0][OTHER][:9] == before[0][OTHER][:9]
    assert node.said()[0][OTHER][9] == "kept"


def test_what_came_after_the_last_result_is_arriving(delivered, land, make_instance):
    land(make_instance())
    delivered.rebuild()
    with LedgerWriter(delivered.path) as ledger:
        (series,) = ledger.intake.arriving().series
        earlier = ledger.work.closed_series(1)
        later = ledger.work.close_series(Closure(series.key, "quiet", "quiet"))
    assert (earlier.revision, len(earlier.sop_instance_uids)) == (2, 3)
    assert (later.revision, len(later.sop_instance_uids)) == (3, 4)


def test_every_closed_series_is_decided_again_and_published_jobs_are_not_queued(delivered):
    delivered.rebuild()
    with LedgerWriter(delivered.path) as ledger:
        assert ledger.work.undecided() == (1,)
        series = ledger.work.closed_series(1)
        job = NewJob("2" * 64, "All", STEPS)
        ledger.work.record_decision(series, Decision("process", "All -> qc", (), ()), [job])
        assert ledger.jobs.claim(5) == ()
        assert ledger.work.undecided() == ()


def test_bytes_that_changed_since_the_reception_are_named_and_not_blessed(delivered):
    (path, *_) = sorted(delivered.spool.instances.rglob("*.dcm"))
    content = bytearray(path.read_bytes())
    content[5] ^= 1  # of the preamble
    path.write_bytes(content)
    assert delivered.rebuild().altered == (path.stem,)
    with LedgerWriter(delivered.path) as ledger:
        assert ledger.work.closed_series(1).revision == 2  # the results are still of this set


def test_files_that_cannot_be_placed_are_left_to_the_watcher(node, land, make_instance):
    _, path = land(make_instance())
    land(make_instance(SOPInstanceUID="5.5"))
    land(make_instance(SOPInstanceUID="5.5", SeriesInstanceUID="1.2.3.9"))
    path.write_bytes(b"junk")
    rebuilt = node.rebuild()
    assert (rebuilt.instances, rebuilt.left) == (1, 2)
    assert path.exists()


def test_a_manifest_that_cannot_be_read_costs_only_its_job(delivered, caplog):
    manifest = max(delivered.results.rglob("manifest.json"))
    manifest.write_text(json.dumps({"key": 1}))
    assert delivered.rebuild().jobs == 1
    assert "manifest.json: not readable" in caplog.text


def test_a_rebuild_that_ended_early_left_the_ledger_alone(delivered, monkeypatch):
    before = delivered.said()
    delivered.path.with_name("ledger.sqlite.new").write_bytes(b"half a ledger")
    delivered.rebuild()
    assert delivered.said() == before


def test_the_journal_is_read_on_from_where_the_rebuild_stopped(delivered):
    delivered.rebuild()
    with LedgerWriter(delivered.path) as ledger:
        (file,) = delivered.spool.journal.glob("*.jsonl")
        assert ledger.intake.journal_offsets() == {file.name: file.stat().st_size}
        ledger.intake.record(Findings((), (), (), 0, {}))


def test_several_processes_find_the_same(node, land, make_instance, monkeypatch):
    monkeypatch.setattr("ledger.rebuild._CHUNK", 1)
    for number in range(12):
        land(make_instance(SeriesInstanceUID=f"1.2.3.{number % 3}"))
    node.rebuild()
    alone = node.said()
    node.processes = 2
    assert node.rebuild().instances == 12
    assert node.said() == alone
