"""What the ledger tells of a study for its workbook and report."""

import pytest

from listener.spool import SeriesKey


def test_the_folders_of_a_study_are_told_once_all_its_jobs_have_ended(
    record, arrival, close, decide, ledger, result
):
    second = SeriesKey("1.2.3", "1.2.3.5")
    record(arrival("1"), arrival("2", key=second))
    decide(close(), "k1")
    decide(close(second), "k2")
    first_job, second_job = ledger.jobs.claim(5)
    ledger.jobs.finish(first_job, result("k1", folder="A1/1"))
    assert ledger.studies.folders(first_job.series.id) == ()
    ledger.jobs.finish(second_job, result("k2", folder="A1/2"))
    assert ledger.studies.folders(first_job.series.id) == ("A1/1", "A1/2")


def test_studies_of_one_accession_number_share_their_folders(
    record, arrival, close, decide, ledger, result
):
    other = SeriesKey("7.7", "7.7.7")
    record(arrival("1"), arrival("2", key=other))
    decide(close(), "k1")
    decide(close(other), "k2")
    for job in ledger.jobs.claim(5):
        ledger.jobs.finish(job, result(job.key, folder=f"A1/{job.key}"))
    assert ledger.studies.folders(1) == ("A1/k1", "A1/k2")


def test_the_header_of_a_study_is_that_of_its_first_instance(record, arrival, close, ledger):
    record(arrival("1", PatientID="P1", AccessionNumber="A1", StudyDescription="Knee"))
    header = ledger.studies.header(close().id)
    assert (header["PatientID"], header["StudyDescription"]) == ("P1", "Knee")


@pytest.mark.parametrize(
    ("outcome", "tone", "text"),
    [
        ("drop", "calm", "nothing is made of it: "),
        ("keep", "calm", "nothing is made of it: "),
        ("hold", "bad", "held: "),
    ],
)
def test_a_series_that_rules_did_not_process_is_told_with_the_decision(
    record, arrival, close, decide, ledger, outcome, tone, text
):
    record(arrival("1", SeriesNumber=3.0, SeriesDescription="Scout"))
    closed = close()
    decide(closed, outcome=outcome)
    (one,) = ledger.studies.without_results(closed.id)
    assert (one.name, one.instances, one.grade) == ("3 Scout", 1, "released")
    assert one.remark is not None
    assert one.remark.tone == tone
    assert one.remark.text.startswith(text)


def test_a_series_whose_job_was_given_up_is_told_beside_those_with_results(
    record, arrival, close, decide, ledger, result
):
    other = SeriesKey("1.2.3", "1.2.3.5")
    record(arrival("1"), arrival("2", key=other))
    decide(close(), "k1")
    decide(close(other), "k2")
    first, second = ledger.jobs.claim(5)
    ledger.jobs.finish(first, result("k1"))
    ledger.jobs.bury(second, "StorageError: no space")
    (one,) = ledger.studies.without_results(first.series.id)
    assert one.series_uid == other.SeriesInstanceUID
    assert one.remark is not None
    assert (one.remark.tone, one.remark.text) == ("bad", "given up: StorageError: no space")
    assert ledger.studies.folders(second.series.id) == ("A1/001-k1",)


def test_a_series_that_still_arrives_is_told(record, arrival, close, decide, ledger, result):
    record(arrival("1"))
    closed = close()
    decide(closed, "k1")
    (job,) = ledger.jobs.claim(1)
    ledger.jobs.finish(job, result("k1"))
    record(arrival("2", key=SeriesKey("1.2.3", "1.2.3.5")))
    (one,) = ledger.studies.without_results(closed.id)
    assert one.remark is not None
    assert one.remark.text == "no results yet: instances are still coming"
