"""Notifications in the coordinator's loop: queued by real jobs and alarms, sent to a real server.

Not covered: what the queue does, which is tests/ledger/test_notifications.py; a daemon that is
killed, which is tests/acceptance/test_notify.py.
"""

import asyncio
import email
import time
from dataclasses import replace
from email import policy
from types import SimpleNamespace

import pytest

from query.settings import PacsSettings
from safelight import alarm_watch, notifying
from safelight.alarm_watch import AlarmWatch
from safelight.errors import ConfigError
from safelight.page_node import NodeCondition
from safelight.requests import Request, Requests
from safelight.settings import ForwardSettings

RULE = '[[rule]]\nname = "All"\n[rule.run]\nqc = {}\n[rule.notify]\nto = "team"\n'
EVERY = ("held", "waiting", "sent", "summed", "dead")


@pytest.fixture(autouse=True)
def soon(monkeypatch):
    """Alarms are looked for at every round, and over as soon as they are gone."""
    monkeypatch.setattr(notifying, "_LOOK_SECONDS", 0.0)
    monkeypatch.setattr(alarm_watch, "_SETTLE_SECONDS", 0.0)


@pytest.fixture
def told(config):
    """Function that returns the configuration with these targets, and a rule that tells `team`."""

    def make(*targets, on="done", **keys):
        config.rules.file.write_text(f'{RULE}on = "{on}"\n')
        return replace(config, notify=targets, **keys)

    return make


def states(reader):
    return [row.state for row in reversed(reader.notifications.latest(EVERY))]


def test_a_job_that_is_done_is_told_once_the_server_is_well_again(land, run, webhook, to, told):
    hook = webhook([500, 503, 200])
    uid = land()
    run(lambda reader: states(reader) == ["sent"], told(to(hook.url)))
    assert [(got["event"], got["series_uid"]) for got in hook.got] == [("done", uid)] * 3
    assert len({headers["X-Safelight-Notification"] for headers in hook.headers}) == 1


def test_a_study_is_told_when_all_of_it_is_done(land, run, webhook, to, told):
    hook = webhook()
    land(), land()
    config = told(to(hook.url), on="study_done")
    series = replace(config.series, study_quiet_seconds=0.2)
    run(lambda reader: states(reader) == ["sent"], replace(config, series=series))
    (got,) = hook.got
    assert (got["event"], got["study_uid"], got["jobs_done"]) == ("study_done", "1.2.3", 2)


def test_a_job_that_was_given_up_and_the_alarm_of_it_reach_whom_they_concern(
    land, run, webhook, mail_server, smtp, to, told, free_port
):
    hook, box = webhook(), mail_server()
    land()
    on_call = to(email=("on-call@b.example",), alarms=("attention",))
    both = told(to(hook.url), on_call, smtp=smtp(box))
    rule = RULE.replace("qc = {}", 'forward = { to = "main" }')
    both.rules.file.write_text(f'{rule}on = "failed"\n')
    pacs = PacsSettings("main", "MAIN", "127.0.0.1", free_port())
    both = replace(both, pacs=(pacs,), forward=ForwardSettings(tries=1))
    run(lambda reader: states(reader) == ["sent", "sent"], both)
    (got,) = hook.got
    assert (got["event"], got["rule"]) == ("failed", "All")
    assert got["reason"].startswith("2 of 2 instances not forwarded to main: cannot reach MAIN")
    letter = email.message_from_bytes(box.letters[0], policy=policy.default)
    assert letter["Subject"].endswith(": 1 thing needs a person")
    assert "/studies?state=attention" in letter.get_content()


def test_an_alarm_is_told_once_and_its_end_over_a_restart(run, webhook, to, told, config):
    hook, requests = webhook(), Requests(config.storage.requests)
    requests.leave(Request("pause", processor="qc"))
    configured = told(to(hook.url, alarms=("held",)))
    run(lambda reader: states(reader) == ["sent"] and reader.pauses(), configured)
    rounds = []
    run(lambda reader: rounds.append(states(reader)) or len(rounds) > 4, configured)
    assert rounds[-1] == ["sent"]
    requests.leave(Request("resume", processor="qc"))
    run(lambda reader: states(reader) == ["sent", "sent"], configured)
    told_ones = [(got["event"], got["what"]) for got in hook.got]
    assert told_ones == [("alarm_began", "qc is paused"), ("alarm_ended", "Over: qc is paused.")]


def test_alarms_of_less_severity_or_another_kind_are_not_told(run, webhook, to, told, config):
    Requests(config.storage.requests).leave(Request("pause", processor="qc"))
    hook = webhook()
    other = replace(to(hook.url, alarms=("disk",)), name="other")
    config = told(to(hook.url, alarms=("all",), severity="bad"), other)
    run(lambda reader: states(reader) == ["sent"], config)
    assert [(got["name"], got["severity"]) for got in hook.got] == [("team", "bad")]


def test_a_target_that_hangs_holds_up_no_other_and_no_job(land, run, webhook, to, told):
    async def hang(_request):
        await asyncio.sleep(60)

    hanging, well = webhook(hang), webhook()
    config = told(to(well.url), replace(to(hanging.url, timeout_seconds=30), name="stuck"))
    config.rules.file.write_text(RULE.replace('"team"', '["stuck", "team"]\non = "done"'))
    land(), land()
    began = time.monotonic()
    run(lambda reader: states(reader).count("sent") == 2, config)
    assert time.monotonic() - began < 25
    assert len(well.got) == 2


def test_what_is_refused_is_a_dead_letter_that_a_person_sends_again(
    land, run, webhook, to, told, config
):
    hook, watched = webhook(404), webhook()
    on_call = replace(to(watched.url, alarms=("undelivered",)), name="on-call")
    configured = told(to(hook.url), on_call)
    land()
    run(lambda reader: states(reader) == ["dead", "sent"], configured)
    assert watched.got[0]["what"] == "1 notification was not delivered"
    hook.answer = 200
    Requests(config.storage.requests).leave(Request("notify_resend", notification=1))
    run(lambda reader: states(reader) == ["sent", "sent", "sent"], configured)
    assert [got["event"] for got in hook.got] == ["done", "done"]
    assert watched.got[1]["event"] == "alarm_ended"


def test_after_all_its_tries_one_is_given_up_with_the_reason(land, run, to, told, free_port):
    target = to(f"http://127.0.0.1:{free_port()}/", tries=2)
    land()
    seen = {}

    def given_up(reader):
        seen.update({row.state: row for row in reader.notifications.latest(EVERY)})
        return "dead" in seen

    run(given_up, told(target))
    assert (seen["dead"].tries, "Connection refused" in seen["dead"].error) == (2, True)


def test_a_rule_that_tells_somebody_unknown_is_refused(land, run, to, told):
    with pytest.raises(ConfigError, match=r'rule "All": notify: "team": no \[\[notify\]\] has'):
        run(lambda _: True, told())


def test_an_alarm_that_is_gone_for_a_moment_lasts(config, run, monkeypatch):
    monkeypatch.setattr(alarm_watch, "_SETTLE_SECONDS", 60.0)
    requests, clock = Requests(config.storage.requests), [0.0]
    watch = AlarmWatch(config, NodeCondition(config), clock=lambda: clock[0])
    requests.leave(Request("pause", processor="qc"))
    run(lambda reader: bool(reader.pauses()))
    assert "held qc is paused" in watch.look()
    requests.leave(Request("resume", processor="qc"))
    run(lambda reader: not reader.pauses())
    clock[0] = 59.0
    assert "held qc is paused" in watch.look()
    clock[0] = 61.0
    assert "held qc is paused" not in watch.look()


def test_a_cluster_that_is_away_is_an_alarm_that_is_told(config, run):
    run(lambda _: True)
    away = SimpleNamespace(trouble="the Dask scheduler does not answer: start it")
    assert f"held {away.trouble}" in AlarmWatch(config, NodeCondition(config, away)).look()
    assert AlarmWatch(config, NodeCondition(config)).look() == {}
