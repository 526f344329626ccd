"""What rules let go: accounted for, and only when what was made of it is intact.

Which things are due is shown in tests/ledger/test_retention.py.
"""

import pytest

from ledger.reader import LedgerReader
from ledger.rebuild import rebuild
from ledger.verify import verify
from ledger.writer import LedgerWriter
from safelight.backup import make_backup
from safelight.restoring import restore

EVERY = ("queued", "running", "done", "dead", "superseded", "cancelled")


@pytest.fixture
def keep(config):
    """Function that has the site's rule keep things as ``[rule.keep]`` says."""

    def write(text):
        rules = config.rules.file
        rules.write_text(f"{rules.read_text().partition('[rule.keep]')[0]}[rule.keep]\n{text}\n")

    return write


@pytest.fixture
def read(config):
    """Function that reads the ledger: ``read("deletions")``."""

    def ask(method, *arguments):
        reader = LedgerReader(config.storage.ledger)
        try:
            return getattr(reader, method)(*arguments)
        finally:
            reader.close()

    return ask


def is_done(reader):
    return bool(reader.jobs(("done",)))


def deletions(count):
    return lambda reader: [row.ended_at is not None for row in reader.deletions()] == [True] * count


def files(folder):
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def published(config):
    """The files in the folders of jobs."""
    return sorted(path.name for path in config.storage.results.glob("*/*/*"))


def test_instances_go_when_their_time_is_over_and_what_was_made_of_them_stays(
    config, land, run, keep, read
):
    uid = land(3)
    spooled = files(config.storage.spool / "instances")
    size = sum(path.stat().st_size for path in config.storage.spool.rglob("*.dcm"))
    run(is_done)
    made = published(config)
    keep("instances_days = 0")
    run(deletions(1))
    assert (len(spooled), files(config.storage.spool / "instances")) == (3, [])
    assert published(config) == made
    (row,) = read("deletions")
    assert (row.what, row.count, row.bytes, row.rule) == ("instances", 3, size, "All")
    assert read("history", 1)[-1].what == 'deleted by rule "All": 3 instances'
    audit = (config.storage.data / "audit.log").read_text()
    told = '"target": "deletion 1", "address": "", "token": "", "study": "1.2.3", "instances": 3'
    assert f'"instances deleted", "user": "", {told}' in audit
    assert "P1" not in audit

    land(3, uid=uid)  # sent again: a new revision, and nothing to be made anew
    keep("")
    run(lambda reader: reader.one_series(1).revision == 2 and is_done(reader))
    (job,) = read("jobs_of", 1)
    assert (job.revision, job.state, job.tries) == (2, "done", 1)
    assert read("one_series", 1).instances == 3
    assert len(files(config.storage.spool / "instances")) == 3


def test_deidentified_outputs_tell_of_no_uid_and_are_found_again(config, land, run, keep, read):
    rules = config.rules.file
    rules.write_text(rules.read_text().replace("[rule.run]", "[rule.run]\ndeidentify = {}"))
    more = 'metadata = {}\n[rule.deliver]\nto = "x/{PatientID}"\n'
    rules.write_text(rules.read_text() + more)
    uid = land(2)
    run(lambda reader: is_done(reader) and list(config.storage.results.glob("*/metadata.xlsx")))
    told = "".join(map(str, config.storage.results.rglob("*")))
    for path in config.storage.results.rglob("*"):
        told += path.read_bytes().decode("latin-1") if path.is_file() else ""
    assert uid not in told
    assert read("jobs_of", 1)[0].state == "done"
    keep("instances_days = 0")
    run(deletions(1))
    assert files(config.storage.spool / "instances") == []


@pytest.mark.parametrize("damage", ["changed", "missing", "manifest"])
def test_instances_stay_when_what_was_made_of_them_is_not_intact(
    config, land, run, keep, read, caplog, damage
):
    land()
    run(is_done)
    (volume,) = config.storage.results.rglob("*.nii.gz")
    if damage == "changed":
        volume.write_bytes(volume.read_bytes()[:-1] + b"?")
    elif damage == "missing":
        volume.unlink()
    else:
        volume.with_name("manifest.json").unlink()
    keep("instances_days = 0\nresults_days = 0")
    run(lambda _: caplog.text.count("kept beyond their time") == 2)
    assert read("deletions") == ()
    assert len(files(config.storage.spool / "instances")) == 2


def test_results_go_whole_and_are_no_longer_shown_and_instances_stay(config, land, run, keep, read):
    land()
    run(is_done)
    made = len(published(config))
    keep("results_days = 0")
    run(deletions(1))
    assert list(config.storage.results.iterdir()) == []
    assert list(config.storage.scratch.iterdir()) == []
    (row,) = read("deletions")
    assert (row.what, row.count) == ("results", made)
    assert read("jobs_of", 1)[0].outputs == ()
    assert len(files(config.storage.spool / "instances")) == 2

    land(3, uid="1.2.3.1")  # one more instance: another digest, so it is made
    keep("")
    run(lambda reader: reader.one_series(1).revision == 2 and is_done(reader))
    assert len(published(config)) == made


def test_instances_go_before_the_results_that_prove_what_was_made_of_them(
    config, land, run, keep, read
):
    land()
    run(is_done)
    keep("instances_days = 0\nresults_days = 0")
    run(deletions(2))
    assert [row.what for row in reversed(read("deletions"))] == ["instances", "results"]
    assert list(config.storage.results.iterdir()) == []

    land(uid="1.2.3.1")  # all of it again: its results are gone, so they are made again
    keep("")
    run(lambda reader: reader.one_series(1).revision == 2 and is_done(reader))
    assert [job.tries for job in read("jobs_of", 1)] == [1]
    assert "manifest.json" in published(config)


def test_a_deletion_that_was_interrupted_is_carried_out_but_for_what_was_sent_again_since(
    config, land, run, keep, read
):
    land()
    run(is_done)
    with LedgerWriter(config.storage.ledger) as ledger:
        (due,) = ledger.retention.instances_due({"All": "9999"})
        ledger.retention.begin(due)  # and the daemon is killed here
    again = config.storage.spool / "instances" / "1.2.3" / "1.2.3.1" / "1.2.3.1.0.dcm"
    again.write_bytes(again.read_bytes())
    run(lambda reader: reader.one_series(1).revision == 2)
    assert files(config.storage.spool / "instances") == ["1.2.3.1.0.dcm"]
    assert deletions(1)(LedgerReader(config.storage.ledger))
    assert read("one_series", 1).instances == 2


@pytest.mark.parametrize(
    ("way", "results_days"),
    [("rebuilt", ""), ("rebuilt", "results_days = 0"), ("restored", "results_days = 0")],
)
def test_a_ledger_that_is_made_again_accounts_for_what_was_deleted_and_makes_nothing_of_it(
    config, land, run, keep, read, tmp_path, way, results_days
):
    land()
    run(is_done)
    backup = make_backup(config, tmp_path / "backup.tar")
    land(3)
    run(lambda reader: len(reader.jobs(("done",))) == 2)
    keep(f"instances_days = 0\n{results_days}")
    run(deletions(4 if results_days else 2))
    keep("")
    config.storage.ledger.unlink()
    if way == "rebuilt":
        storage = config.storage
        assert rebuild(storage.ledger, storage.spool, storage.results).deleted == 5
    else:
        restore(config, backup)
    balance = verify(config.storage.ledger, config.storage.spool)
    assert (balance.losses, balance.deleted, balance.in_series) == ((), 5, 0)
    last = land(1)
    run(
        lambda reader: any(
            row.SeriesInstanceUID == last and row.state == "done" for row in reader.series()
        )
    )
    assert {job.state for job in read("jobs", EVERY)} == {"done"}
    assert [row.state for row in read("series")] == ["done"] * 3
    if way == "restored":
        assert [job.outputs == () for job in read("jobs_of", 1)] == [bool(results_days)]
