"""Rules that are made on the page: tried out, and put in force in a coordinator that is stepped.

What the page asks runs in a thread; the test is the coordinator, which alone writes the ledger.
"""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest

from safelight.page_rules import PageRules
from safelight.requests import Requests
from safelight.rules_file import rules_path
from web_status.errors import ActionRefused
from web_status.rule_desk import RulesChanged

CHECK = '[[rule]]\nname = "Check"\nrun = { qc = {} }\n'
DROP = '[[rule]]\nname = "No CT"\nmatch = { Modality = "CT" }\nthen = { drop = "not wanted" }\n'


@pytest.fixture
def started(site):
    """A site whose daemon runs, with a series of MR and one of CT."""
    site.config.storage.requests.mkdir(parents=True)
    site.start()
    site.take(series="1.1")
    site.take(series="1.2", Modality="CT")
    return site


@pytest.fixture
def put(started, wait_until):
    """Function that puts rules in force on the page while the coordinator does its rounds."""
    requests = Requests(started.config.storage.requests)

    def obey():
        for path, request in requests.pending():
            assert request.what == "reload"
            started.deciding.reload()
            requests.answer(path)

    def put(desk, text, mark=None):
        given = desk.standing().mark if mark is None else mark
        with ThreadPoolExecutor(1) as page:
            asked = page.submit(desk.put_in_force, text, given)
            wait_until(lambda: obey() or asked.done(), "the rules to be taken or refused")
            return asked.result()

    return put


@pytest.fixture
def desk(started):
    return PageRules(started.config)


def test_a_draft_is_in_force_for_the_next_series_and_the_one_before_comes_back(started, desk, put):
    first = put(desk, DROP + CHECK)
    assert started.rules.read_text() == DROP + CHECK
    assert started.outcome(started.take(series="1.3", Modality="CT"))[0] == "drop"
    second = put(desk, CHECK)
    assert started.outcome(started.take(series="1.4", Modality="CT"))[0] == "process"
    assert first < second
    assert desk.standing().text == CHECK


def test_who_may_read_the_file_stays_and_a_link_to_it_is_followed(started, desk, put):
    real = started.folder / "real.toml"
    started.rules.rename(real)
    started.rules.symlink_to(real)
    real.chmod(0o600)
    put(desk, DROP)
    assert started.rules.is_symlink()
    assert real.read_text() == DROP
    assert real.stat().st_mode & 0o777 == 0o600


def test_a_draft_with_an_error_never_reaches_the_file(started, desk, put):
    for wrong in ("[[rule", '[[rule]]\nname = "X"\nrun = { forward = { to = "nobody" } }\n'):
        with pytest.raises(ActionRefused):
            put(desk, wrong)
    assert started.rules.read_text() == CHECK


def test_two_drafts_of_the_same_rules_are_not_both_taken(desk, put):
    mark = desk.standing().mark
    put(desk, DROP, mark)
    with pytest.raises(RulesChanged):
        put(desk, DROP + CHECK, mark)
    assert desk.standing().text == DROP


def test_a_file_that_was_edited_by_hand_is_not_overwritten_unseen(started, desk, put):
    mark = desk.standing().mark
    started.rules.write_text(CHECK + DROP)
    assert desk.standing().file_text == CHECK + DROP
    with pytest.raises(RulesChanged):
        put(desk, DROP, mark)
    put(desk, DROP)  # by somebody who was told
    assert desk.standing().file_text is None


def test_the_same_rules_are_not_put_in_force_again(desk, put):
    with pytest.raises(ActionRefused, match="in force already"):
        put(desk, CHECK)


def test_what_the_daemon_refuses_is_taken_back(started, desk, put, monkeypatch):
    taken = started.deciding.reload

    def spoiled():
        monkeypatch.setattr(started.deciding, "reload", taken)
        started.rules.write_text("[[rule")  # as by an editor at this moment
        return taken()

    monkeypatch.setattr(started.deciding, "reload", spoiled)
    with pytest.raises(ActionRefused, match="the daemon refused them, and those before stay"):
        put(desk, DROP)
    assert started.rules.read_text() == CHECK
    assert desk.standing().text == CHECK
    assert desk.standing().file_text is None


def test_a_daemon_that_does_not_answer_is_told(desk, monkeypatch):
    monkeypatch.setattr("safelight.job_commands._NOBODY_SECONDS", 0.0)
    with pytest.raises(ActionRefused, match="the rules are written; asked, and not done yet"):
        desk.put_in_force(DROP, desk.standing().mark)


def test_without_a_file_in_the_configuration_the_data_folder_has_the_rules(started, put):
    nameless = dataclasses.replace(started.config.rules, file=None)
    started.config = dataclasses.replace(started.config, rules=nameless)
    started.start()  # with the rules that ship
    desk = PageRules(started.config)
    made = started.config.storage.data / "rules" / "rules.toml"
    assert not made.exists()
    put(desk, DROP)
    assert made.read_text() == DROP
    assert rules_path(started.config) == made
    assert started.outcome(started.take(series="1.5", Modality="CT"))[0] == "drop"


def test_a_folder_of_rules_is_shown_as_one_text_and_not_written(started, put):
    folder = started.folder / "rules.d"
    folder.mkdir()
    (folder / "1.toml").write_text(DROP.rstrip())
    (folder / "2.toml").write_text(CHECK)
    of_folder = dataclasses.replace(started.config.rules, file=folder)
    started.config = dataclasses.replace(started.config, rules=of_folder)
    started.start()
    desk = PageRules(started.config)
    assert desk.standing().text == DROP + CHECK
    with pytest.raises(ActionRefused, match="the page writes one file"):
        put(desk, CHECK)
    assert sorted(path.name for path in folder.iterdir()) == ["1.toml", "2.toml"]


def test_a_file_that_the_service_may_not_write_is_said_to_be_so_beforehand(
    started, desk, put, monkeypatch
):
    monkeypatch.setattr("safelight.page_rules.os.access", lambda *_: False)  # we may be root
    assert "The service may not write" in desk.standing().obstacle
    assert str(started.config.storage.data / "rules" / "rules.toml") in desk.standing().obstacle
    with pytest.raises(ActionRefused, match="The service may not write"):
        put(desk, DROP)
    assert started.rules.read_text() == CHECK


def test_an_error_is_told_with_its_place(desk):
    flaw = desk.flaw(CHECK + '[[rule]]\nname = "B"\nmatch = { Rowz = 1 }\nrun = { qc = {} }\n')
    assert (flaw.line, flaw.rule, flaw.key) == (6, "B", "match.Rowz")
    assert desk.flaw(CHECK + DROP) is None


def test_a_receiver_that_the_configuration_does_not_know_is_an_error(desk):
    flaw = desk.flaw('[[rule]]\nname = "X"\nrun = { forward = { to = "nobody" } }\n')
    assert "no [[pacs]] has this name" in flaw.problem


def test_one_series_is_told_by_the_draft_and_by_the_rules_in_force(desk):
    trial = desk.try_on(DROP + CHECK, 2)
    assert trial.draft.outcome == "drop"
    assert trial.in_force.outcome == "process"
    (no_ct, check) = trial.draft.rules
    assert [c.text for c in no_ct.reason.conditions] == ['Modality = CT: is "CT"']
    assert check.note == "not asked"


@pytest.mark.parametrize(
    ("series", "problem"), [(9, "no such series"), (3, "has not been closed yet")]
)
def test_a_series_that_cannot_be_tried_is_told(started, desk, series, problem):
    started.receive(series="1.9")
    with pytest.raises(ActionRefused, match=problem):
        desk.try_on(CHECK, series)


def test_a_series_whose_instances_are_gone_cannot_be_tried(started, desk):
    for path in started.spool.instances.glob("*/1.2/*.dcm"):
        path.unlink()
    with pytest.raises(ActionRefused, match="series 2: its first instance: No such file"):
        desk.try_on(CHECK, 2)


def test_a_replay_counts_and_lists_what_would_differ(desk):
    replay = desk.replay(DROP + CHECK, 7)
    assert (replay.looked_at, replay.of, replay.unchanged) == (2, 2, 1)
    (change,) = replay.changes
    assert (change.kind, change.count) == ("drop", 1)
    (one,) = change.series
    assert (one.series, one.before, one.after) == (2, "Check -> qc", "No CT: not wanted")


def test_a_series_whose_instances_were_deleted_as_a_rule_says_can_be_told_nothing_of(started, desk):
    for job in started.claim():
        started.end(job)
    (due, _) = started.ledger.retention.instances_due({"Check": "9999"})
    started.ledger.retention.end(started.ledger.retention.begin(due))
    replay = desk.replay(CHECK, 7)
    assert [(one.kind, one.count) for one in replay.changes] == [("unread", 1)]
    with pytest.raises(ActionRefused, match=f"series {due.series_id} has no instances any more"):
        desk.try_on(CHECK, due.series_id)


def test_a_replay_that_takes_too_long_says_how_far_it_came(desk, monkeypatch):
    monkeypatch.setattr("safelight.page_replay._SECONDS", 0.0)
    replay = desk.replay(DROP + CHECK, 7)
    assert (replay.looked_at, replay.of) == (1, 2)
    assert replay.changes[0].series[0].series == 2  # the latest first


def test_one_replay_runs_at_a_time(desk):
    with desk._replaying, pytest.raises(ActionRefused, match="another replay"):
        desk.replay(CHECK, 7)
    assert desk.replay(CHECK, 7).unchanged == 2
