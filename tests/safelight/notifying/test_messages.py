"""The words of notifications: our own, and a site's templates, good and bad."""

import json
from dataclasses import replace

import pytest

from ledger.notification_records import Notification
from safelight.config import Config, load_config
from safelight.errors import ConfigError
from safelight.message_templates import VARIABLES
from safelight.messages import message_of, page_url
from web_status.settings import WebSettings

JOB = {
    "rule": "Brain",
    "job": 5,
    "series": 12,
    "study": 3,
    "modality": "MR",
    "study_uid": "1.2.3",
    "series_uid": "1.2.3.4",
    "accession_number": "A1",
    "reason": "the worker ended by SIGSEGV",
}
AT = "2026-11-28T10:00:00.000+00:00"


def test_a_failure_says_what_to_do_and_where_to_look(to, composed):
    text = composed(to("https://x.example/"), "failed", **JOB).text
    assert text.startswith('Failed: rule "Brain", series 12.\n\nWhat to do: The page of the series')
    assert "\nReason: the worker ended by SIGSEGV\n" in text
    assert "\nStudy: 3, 1.2.3\nAccession number: A1\nSeries: 12, MR, 1.2.3.4\nJob: 5\n" in text
    assert "\nPage: http://127.0.0.1:8080/series/12\n" in text


def test_an_alarm_is_told_in_the_words_of_the_page(to, composed):
    facts = {"what": "qc is paused", "remedy": "Resume it.", "link": "/system#queue", "since": AT}
    target = to("https://x.example/")
    began = composed(target, "alarm_began", **facts)
    assert began.subject.endswith(": qc is paused")
    assert began.text.startswith("qc is paused\n\nWhat to do: Resume it.\n\nSince: 2026-11-28")
    lasts, over = (composed(target, f"alarm_{end}", **facts).text for end in ("lasts", "ended"))
    assert lasts.startswith("Still: qc is paused.\n\nWhat to do: Resume it.")
    assert over.startswith("Over: qc is paused.\n\nSince")


def test_a_study_and_a_summary_are_counted(to, composed):
    target = to("https://x.example/")
    facts = {"study": 3, "jobs_done": 2, "jobs_failed": 1}
    assert composed(target, "study_done", **facts).text.startswith(
        "Study 3 is done: 2 jobs done, 1 failed.\n"
    )
    facts = {
        "count": 7,
        "events": {"failed": 5, "alarm_began": 2},
        "examples": [{"event": "failed", **JOB}],
        "since": AT,
    }
    assert composed(target, "summary", **facts).text.startswith(
        "7 notifications in one: 5 failed, 2 alarms.\n"
        '- failed: rule "Brain", series 12\n\nWhat to do: More has happened'
    )


def test_a_webhook_gets_every_variable(to, composed):
    got = json.loads(composed(to("https://x.example/"), "failed", **JOB).body)
    assert got.keys() == VARIABLES.keys() | {"subject", "text"}
    assert (got["series"], got["reason"]) == (12, JOB["reason"])


def test_templates_of_the_site_take_the_place_of_ours(to):
    target = to(
        "https://x.example/",
        subject="{{ event | upper }}",
        text="{% if job %}job {{ job }}{% endif %}",
        body='{"say": {{ reason | tojson }}}',
    )
    config = Config()
    quoted = {**JOB, "reason": 'a "reason"\nof two lines'}
    message = message_of(Notification(1, "team", "failed", AT, quoted), target, config)
    assert (message.subject, message.text) == ("FAILED", "job 5")
    assert json.loads(message.body) == {"say": 'a "reason" of two lines'}


@pytest.mark.parametrize(
    ("template", "told"),
    [
        ('text = "a\\nb\\n{% if x"', "[notify] text: line 3: "),
        ('text = "a\\n{{ PatientName }}"', "[notify] text: line 2: no variable is called PatientN"),
        ('subject = "{{ title | upside_down }}"', "[notify] subject: line 1: No filter named"),
        ('subject = "{{ title.__class__.mro() }}"', "[notify] subject: access to attribute"),
        ('subject = "{{ 1 / count }}"', "[notify] subject: division by zero"),
        ("text = \"{% include 'x' %}\"", "[notify] text: no loader"),
        ('body = "{{ title }}"', "[notify] body: what it makes is no JSON"),
    ],
)
def test_a_bad_template_is_refused_when_the_configuration_is_read(tmp_path, template, told):
    file = tmp_path / "safelight.toml"
    file.write_text(f'[[notify]]\nname = "x"\nurl = "https://x.example/"\n{template}\n')
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert str(caught.value).startswith(f"configuration: {told}")


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        ('[[notify]]\nname = "x"\nemail = ["a@b.example"]', "[smtp] host: missing"),
        (
            '[[notify]]\nname = "x"\nurl = "https://x.example"\n' * 2,
            "[notify] name: 'x' is given twice",
        ),
        ('[[notify]]\nname = "x"\nurll = "y"', "[notify] urll: unknown key (did you mean url?)"),
        ('[smtp]\nhost = "m"', "[smtp] sender: expected an address"),
        (
            '[smtp]\nhost = "m"\nsender = "a@b.example"\nusername = "u"',
            "[smtp] username: expected both",
        ),
        (
            (
                '[smtp]\nhost = "m"\nsender = "a@b.example"\nusername = "u"\npassword = "p"\n'
                'security = "none"'
            ),
            "[smtp] security: a password goes over TLS only; expected starttls or tls",
        ),
    ],
)
def test_tables_that_deliver_nothing_are_refused(tmp_path, toml, told):
    file = tmp_path / "safelight.toml"
    file.write_text(toml)
    with pytest.raises(ConfigError) as caught:
        load_config(file, {})
    assert str(caught.value).startswith(f"configuration: {told}")


@pytest.mark.parametrize(
    ("web", "url"),
    [
        (WebSettings(), "http://127.0.0.1:8080"),
        (WebSettings(hosts=("page.example",)), "https://page.example"),
        (WebSettings("0.0.0.0:80", ("page.example",)), "http://page.example:80"),
    ],
)
def test_links_lead_where_people_reach_the_page(web, url):
    assert page_url(replace(web)) == url
