"""From closed series to recorded decisions with jobs, on a real spool and ledger.

Not covered: the loop that calls it, and the workers.
"""

import logging
import sqlite3
from datetime import datetime

import pytest
from pydicom.dataset import Dataset

from ledger.reader import LedgerReader
from listener.series import Closure, StudyClosure
from processor.registry import KINDS
from rules.errors import RuleError
from rules.model import SeriesFacts
from rules.parse import parse_rules
from rules.texts import RuleText
from safelight.deciding import destination_of, new_job

CHECK = '[[rule]]\nname = "Check"\nrun = { qc = {} }\n'
GOOD_ONLY = """
[[rule]]
name = "Good only"
match = { Low_quality = 0 }
run = { convert = {} }
"""


def rule(name, match, rest="run = { qc = {} }"):
    return f'[[rule]]\nname = "{name}"\nmatch = {{ {match} }}\n{rest}\n'


@pytest.fixture
def rules_in_force(site):
    """Function that returns how many rules are in force, and why a later try failed."""

    def read():
        reader = LedgerReader(site.config.storage.ledger)
        try:
            return reader.rules_in_force()
        finally:
            reader.close()

    return read


def test_a_series_is_decided_by_its_header_and_facts_and_its_job_queued(site):
    site.write_rules(rule("Two", 'Modality = "MR", instances = 2, grade = "released"'))
    site.start()
    series = site.take(count=2)
    assert site.outcome(series) == ("process", "Two -> qc")
    (job,) = site.claim()
    assert (job.rule, [step.processor for step in job.steps]) == ("Two", ["qc"])


def test_private_tags_and_items_of_sequences_are_looked_for_where_a_rule_names_them(site):
    def edit(dataset):
        block = dataset.private_block(0x19, "SIEMENS MR HEADER", create=True)
        block.add_new(0x0C, "IS", "1000")
        request = Dataset()
        request.RequestedProcedureDescription = "MR brain"
        dataset.RequestAttributesSequence = [request]

    path = "RequestAttributesSequence.0.RequestedProcedureDescription"
    site.write_rules(
        rule("A", f"'(0019,SIEMENS MR HEADER,0C)' = 1000, '{path}' = {{ regex = 'brain' }}")
        + f'[rule.deliver]\nto = "x/{{{path}}}"\n'
    )
    site.start()
    assert site.outcome(site.take(edit=edit))[0] == "process"
    assert site.claim()[0].destination == "x/MR_brain"
    assert site.outcome(site.take(series="9.9"))[0] == "hold"


def test_a_drop_is_recorded_with_the_name_of_its_rule_and_queues_nothing(site):
    site.write_rules(rule("No MR", 'Modality = "MR"', 'then = { drop = "not wanted" }'))
    site.start()
    assert site.outcome(site.take()) == ("drop", "No MR: not wanted")
    assert site.claim() == ()


def test_a_series_whose_first_instance_is_gone_is_held(site):
    site.start()
    key = site.receive()
    (site.spool.folder_of(key) / "1.2.3.4.1.dcm").unlink()
    outcome, summary = site.outcome(site.close(key).id)
    assert (outcome, "cannot be read" in summary) == ("hold", True)


def test_a_rule_on_what_a_processor_finds_is_decided_when_it_was_found(site):
    site.write_rules(CHECK + GOOD_ONLY)
    site.start()
    good, bad = site.take(), site.take(series="1.2.3.5")
    jobs = site.claim()
    assert [job.rule for job in jobs] == ["Check", "Check"]
    for job in jobs:
        site.end(job, low_quality=int(job.series.id == bad))
    (job,) = site.claim()
    assert (job.rule, job.series.id) == ("Good only", good)
    assert site.outcome(good) == ("process", "Check -> qc; Good only -> convert")
    assert site.outcome(bad) == ("process", "Check -> qc")


DROP_BAD = """
[[rule]]
name = "Bad"
match = { Low_quality = 1 }
then = { drop = "low quality" }
"""


def test_a_drop_by_what_a_processor_finds_takes_back_jobs_that_have_not_begun(site):
    picture = rule("Picture", 'Modality = "MR"', "run = { preview = {} }")
    site.write_rules(CHECK + picture + DROP_BAD)
    site.start()
    good, bad = site.take(), site.take(series="1.2.3.5")
    jobs = site.claim()
    site.ledger.jobs.release(job for job in jobs if job.rule == "Picture")
    for job in jobs:
        if job.rule == "Check":
            site.end(job, low_quality=int(job.series.id == bad))
    assert site.outcome(bad) == ("drop", "Bad: low quality")
    assert [(job.rule, job.series.id) for job in site.claim()] == [("Picture", good)]


def test_a_finding_that_failed_to_come_holds_the_series(site):
    site.write_rules(CHECK + GOOD_ONLY)
    site.start()
    series = site.take()
    (job,) = site.claim()
    site.end(job, state="failed")
    assert site.outcome(series)[0] == "hold"
    assert "Low_quality is absent" in site.outcome(series)[1]


def test_a_job_that_was_given_up_is_waited_for_no_longer(site):
    site.write_rules(CHECK + GOOD_ONLY)
    site.start()
    series = site.take()
    (job,) = site.claim()
    site.ledger.jobs.bury(job, "the worker ended by SIGSEGV")
    site.deciding.after_job(series)
    assert site.outcome(series)[0] == "hold"


def test_a_rule_need_not_wait_for_jobs_that_do_not_concern_it(site):
    site.write_rules(CHECK + GOOD_ONLY + rule("Slow", 'Modality = "MR"', "run = { preview = {} }"))
    site.start()
    site.take()
    jobs = {job.rule: job for job in site.claim()}
    site.end(jobs["Check"], low_quality=0)
    assert [job.rule for job in site.claim()] == ["Good only"]
    site.end(jobs["Slow"], "preview")
    assert site.claim() == ()


def test_a_series_that_is_arriving_again_is_not_decided_on_its_old_revision(site):
    site.write_rules(CHECK + GOOD_ONLY)
    site.start()
    series = site.take()
    (job,) = site.claim()
    site.receive(count=2)
    site.end(job, low_quality=0)
    assert site.claim() == ()
    assert site.outcome(series)[1] == "Check -> qc; decided later: Good only"


def test_a_restart_decides_what_was_put_off_while_it_was_down(site):
    site.write_rules(CHECK + GOOD_ONLY)
    site.start()
    site.take()
    (job,) = site.claim()
    site.deciding.after_job = lambda series_id: None  # the daemon ends in between
    site.end(job, low_quality=0)
    assert site.claim() == ()
    site.start().resume()
    assert [job.rule for job in site.claim()] == ["Good only"]


def test_a_late_instance_has_the_series_decided_on_what_is_found_anew(site):
    site.write_rules(CHECK + GOOD_ONLY)
    site.start()
    series = site.take()
    site.end(site.claim()[0], low_quality=0)
    site.claim()
    site.take(count=2)
    assert site.outcome(series) == ("process", "Check -> qc; decided later: Good only")


STUDY = rule("With MR", 'Modality = "CT", study_modalities = { contains = "MR" }')


def test_a_rule_about_the_study_waits_until_the_study_is_complete(site):
    site.write_rules(STUDY)
    site.start()
    ct, elsewhere = site.take(Modality="CT"), site.take(study="7", series="7.7", Modality="CT")
    mr = site.take(series="1.2.3.5")
    assert site.outcome(ct) == ("wait", "decided later: With MR")
    assert site.outcome(mr) == ("keep", "no rule matched")
    site.close_study()
    assert site.outcome(ct) == ("process", "With MR -> qc")
    assert site.outcome(elsewhere)[0] == "wait"
    assert [job.series.id for job in site.claim()] == [ct]


def test_a_series_that_comes_later_has_the_others_of_its_study_decided_anew(site):
    site.write_rules(STUDY)
    site.start()
    ct = site.take(Modality="CT")
    site.close_study()
    assert site.outcome(ct)[0] == "keep"
    site.take(series="1.2.3.5")
    site.close_study()
    assert site.outcome(ct)[0] == "process"


def test_how_sure_it_is_that_the_study_is_complete_is_a_fact_of_it(site):
    site.write_rules(rule("Sure", 'study_grade = { at_least = "counted" }'))
    site.start()
    series = site.take()
    site.close_study(grade="released")
    assert site.outcome(series)[0] == "keep"
    site.receive(count=2)
    site.close(("1.2.3", "1.2.3.4"))
    site.close_study(grade="listed")
    assert site.outcome(series)[0] == "process"


def test_a_wait_outlives_a_restart(site):
    site.write_rules(STUDY)
    site.start()
    site.take(series="1.2.3.5")
    ct = site.take(Modality="CT")
    site.ledger.work.close_study(StudyClosure("1.2.3", "released", "all series closed"))
    site.start().resume()
    assert site.outcome(ct)[0] == "process"


@pytest.mark.parametrize(
    ("expected", "missing", "match", "outcome"),
    [
        (2, 1, "instances_missing = { max = 0 }", "keep"),
        (1, 0, "instances_missing = { max = 0 }, instances_expected = 1", "process"),
        (None, None, "instances_missing = { max = 0 }", "hold"),
        (None, None, "header_findings = { max = 2 }", "keep"),
    ],
)
def test_what_a_pacs_and_the_headers_say_of_a_series_are_facts(
    site, expected, missing, match, outcome
):
    site.write_rules(rule("Whole", match))
    site.start()
    key = site.receive()
    closure = Closure(key, "counted", "", expected, missing, header_findings=3)
    closed = site.ledger.work.close_series(closure)
    site.deciding.decide(closed)
    assert site.outcome(closed.id)[0] == outcome


def test_a_reload_puts_new_rules_in_force_and_decides_what_was_held(site, rules_in_force, caplog):
    site.write_rules(rule("Short", "EchoTime = { max = 30 }"))
    site.start()
    held = site.take()
    assert site.outcome(held)[0] == "hold"
    site.write_rules(rule("Short", "EchoTime = { max = 30, if_absent = true }") + CHECK)
    with caplog.at_level(logging.INFO):
        assert site.deciding.reload()
    assert "rules: new: 'Check'; changed: 'Short'" in caplog.messages
    assert site.outcome(held)[0] == "process"
    good, failed = rules_in_force()
    assert (good.rules, failed) == (2, None)
    assert site.deciding.reload()  # the same rules: no change
    audit = (site.config.storage.data / "audit.log").read_text()
    assert audit.count('"rules changed"') == 2


@pytest.mark.parametrize("spoil", ["broken", "gone"])
def test_rules_that_cannot_be_read_leave_the_old_ones_in_force_and_it_is_said(
    site, rules_in_force, caplog, spoil
):
    site.start()
    if spoil == "broken":
        site.write_rules(CHECK.replace("qc", "qcc"))
    else:
        site.rules.unlink()
    with caplog.at_level(logging.ERROR):
        assert not site.deciding.reload()
    expected = 'rules.toml: rule "Check": run.qcc: unknown processor' if spoil == "broken" else ""
    assert expected in caplog.text
    assert "the rules before stay in force" in caplog.text
    good, failed = rules_in_force()
    assert (good.rules, expected in failed.problem) == (1, True)
    assert site.outcome(site.take()) == ("process", "Check -> qc")


def test_a_coordinator_that_starts_on_broken_rules_takes_those_in_force_before(
    site, rules_in_force
):
    site.start()
    site.write_rules("broken")
    site.start()
    assert site.outcome(site.take()) == ("process", "Check -> qc")
    assert rules_in_force()[1].problem.startswith("rules.toml")


def test_broken_rules_are_an_error_where_none_were_in_force_before(site):
    site.write_rules("broken")
    with pytest.raises(RuleError):
        site.start()


@pytest.mark.parametrize(("from_now", "begins"), [((-2, 2), True), ((2, 4), False)])
def test_a_job_begins_in_its_window_only(site, from_now, begins):
    hour = datetime.now().astimezone().hour
    begin, end = ((hour + hours) % 24 for hours in from_now)
    site.write_rules(CHECK + f'window = "{begin:02d}:00-{end:02d}:00"\n')
    site.start()
    site.take()
    assert bool(site.claim()) is begins


def test_a_job_carries_the_priority_and_window_of_its_rule(site):
    (check,) = parse_rules([RuleText("r", CHECK + 'priority = 5\nwindow = "20:00-06:00"\n')], KINDS)
    site.start()
    series = site.ledger.work.closed_series(site.take())
    job = new_job(series, check, SeriesFacts({}, {}))
    assert (job.priority, job.window) == (5, "20:00-06:00")


def test_the_same_decision_is_recorded_once(site):
    site.start()
    series = site.take()
    site.deciding.resume()
    site.deciding.after_job(series)
    reader = LedgerReader(site.config.storage.ledger)
    told = [row.what for row in reader.history(series)]
    reader.close()
    assert told.count("decided: Check -> qc") == 1


def test_a_person_has_a_series_decided_by_the_rules_in_force_now(site):
    site.start()
    series = site.take()
    (job,) = site.claim()
    site.end(job)
    site.deciding.decide_again((series,))
    assert site.claim() == ()  # it is made already
    site.write_rules(rule("Other", 'Modality = "MR"', "run = { metadata = {} }"))
    assert site.deciding.reload()
    assert site.outcome(series) == ("process", "Check -> qc")  # a reload leaves it as it was
    site.deciding.decide_again((series,))
    assert site.outcome(series) == ("process", "Other -> metadata")
    assert [job.rule for job in site.claim()] == ["Other"]


def test_a_person_has_a_failed_step_made_again_once(site):
    site.start()
    series = site.take()
    (failed,) = site.claim()
    site.end(failed, state="failed")
    assert site.shown(series) == "attention"
    site.deciding.decide_again((series,))
    (again,) = site.claim()
    assert again.key != failed.key
    site.end(again)
    assert site.shown(series) == "done"
    site.deciding.decide_again((series,))
    assert site.claim() == ()


def test_what_is_arriving_or_was_deleted_is_not_decided_again(site):
    site.start()
    key = site.receive()
    series = site.close(key).id
    with sqlite3.connect(site.config.storage.ledger) as db:
        db.execute(
            "INSERT INTO deletions (id, series_id, what, count, bytes, rule, at)"
            " VALUES (1, 1, 'instances', 1, 1, 'Check', '')"
        )
        db.execute("UPDATE instances SET deletion_id = 1")
    site.write_rules(rule("Other", 'Modality = "MR"'))
    assert site.deciding.reload()
    site.deciding.decide_again((series,))
    assert site.outcome(series) == ("process", "Check -> qc")
    site.receive(count=2)
    site.deciding.decide_again((series,))
    assert site.outcome(series) == ("process", "Check -> qc")


def test_a_destination_of_what_is_deidentified_is_filled_in_by_the_job():
    to = '[rule.deliver]\nto = "x/{PatientID}"'
    named, hidden = (
        parse_rules(
            [RuleText("r", f'[[rule]]\nname = "r"\n[rule.run]\n{steps}convert = {{}}\n{to}')], KINDS
        )[0]
        for steps in ("", "deidentify = {}\n")
    )
    seen = SeriesFacts({"PatientID": ("P4711",)}, {})
    assert destination_of(named, seen) == "x/P4711"
    assert destination_of(hidden, seen) == "x/{PatientID}"
