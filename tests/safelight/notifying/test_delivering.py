"""Delivery to a real HTTP server and a real mail server, and every way in which it fails.

Not covered: the queue and its retries, which are test_notifying.py.
"""

import asyncio
import email
import socket
from email import policy

import pytest
from aiohttp import web

from safelight.delivering import deliver, reach
from safelight.errors import NotDelivered
from safelight.notify_settings import NotifySettings, SmtpSettings
from safelight.webhook import signature

NO_MAIL = SmtpSettings()


@pytest.fixture
def refused(composed):
    """Function that returns with what error a delivery fails."""

    def error(target, smtp=NO_MAIL):
        with pytest.raises(NotDelivered) as caught:
            deliver(composed(target), target, smtp)
        return caught.value

    return error


def test_a_webhook_gets_json_with_a_number_and_a_signature(webhook, to, composed):
    hook = webhook()
    target = to(hook.url, secret="key")
    assert deliver(composed(target), target, NO_MAIL).endswith("answered 200")
    (got,) = hook.got
    assert (got["event"], got["id"], got["text"][:15]) == ("test", 7, "This is a test.")
    assert hook.headers[0]["X-Safelight-Notification"].startswith("safelight.7.20261128100000000")
    assert hook.is_signed_with("key")
    assert not hook.is_signed_with("another")


def test_the_signature_is_that_of_the_documentation():
    assert signature("key", "1700000000", b"{}") == (
        "sha256=9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
    )


def test_https_is_verified_by_the_authority_that_is_named(webhook, to, composed, authority):
    hook = webhook(context=authority[1])
    target = to(hook.url, authorities=authority[0])
    deliver(composed(target), target, NO_MAIL)
    assert len(hook.got) == 1


def test_a_certificate_of_another_authority_is_refused_and_nothing_is_sent(
    webhook, to, refused, authority
):
    hook = webhook(context=authority[1])
    error = refused(to(hook.url))
    assert "its certificate is not good (unable to get local issuer certificate)" in str(error)
    assert (error.is_final, hook.got) == (False, [])


@pytest.mark.parametrize(
    ("status", "is_final"),
    [(500, False), (503, False), (599, False), (429, False), (404, True), (401, True)],
)
def test_statuses_say_whether_another_try_helps(webhook, to, refused, status, is_final):
    error = refused(to(webhook(status).url))
    assert f"answered {status}" in str(error)
    assert error.is_final == is_final


def test_a_redirect_is_not_followed(webhook, to, refused):
    elsewhere = webhook()

    async def away(_request):
        return web.Response(status=307, headers={"Location": elsewhere.url})

    error = refused(to(webhook(away).url))
    assert (error.is_final, elsewhere.got) == (True, [])
    assert "leads elsewhere" in str(error)


def test_a_server_that_hangs_is_left_after_the_time(webhook, to, refused):
    async def hang(_request):
        await asyncio.sleep(60)

    error = refused(to(webhook(hang).url, timeout_seconds=0.2))
    assert "did not answer in time" in str(error)
    assert not error.is_final


def test_where_nobody_listens_it_is_tried_again(to, refused, free_port):
    error = refused(to(f"http://127.0.0.1:{free_port()}/secret-path"))
    assert "cannot be reached (Connection refused)" in str(error)
    assert "secret-path" not in str(error)
    assert not error.is_final


def test_a_secret_that_is_not_there_is_named_and_tried_again(webhook, to, refused, monkeypatch):
    monkeypatch.delenv("HOOK_KEY", raising=False)
    error = refused(to(webhook().url, secret="env:HOOK_KEY"))
    assert "env:HOOK_KEY: there is nothing in it" in str(error)
    assert not error.is_final


def test_secrets_come_from_a_file_or_the_environment(webhook, to, composed, monkeypatch, tmp_path):
    hook = webhook()
    monkeypatch.setenv("HOOK_URL", hook.url)
    (tmp_path / "key").write_text("from-file\n")
    target = to("env:HOOK_URL", secret=f"file:{tmp_path / 'key'}")
    deliver(composed(target), target, NO_MAIL)
    assert hook.is_signed_with("from-file")


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_an_e_mail_is_plain_text_over_the_configured_transport(
    mail_server, smtp, to, composed, security
):
    box = mail_server(security)
    target = to(email=("a@hospital.example", "b@hospital.example"))
    told = deliver(composed(target), target, smtp(box, security))
    assert told.endswith("took it for a@hospital.example, b@hospital.example")
    letter = email.message_from_bytes(box.letters[0], policy=policy.default)
    assert box.recipients == [["a@hospital.example", "b@hospital.example"]]
    assert letter["From"] == "safelight@hospital.example"
    assert letter["Subject"].endswith("this is a test")
    assert letter["Message-ID"].startswith("<safelight.7.20261128100000000")
    assert letter["Auto-Submitted"] == "auto-generated"
    assert letter.get_content_type() == "text/plain"
    assert letter.get_content().startswith("This is a test.")


def test_line_breaks_in_values_make_no_header(mail_server, smtp, to, composed):
    box = mail_server()
    target = to(email=("a@hospital.example",), subject="{{ what }}\n{{ accession_number }}")
    facts = {"what": "A\r\nBcc: x@y.example", "accession_number": "B\r\n\r\nbody"}
    deliver(composed(target, "alarm_began", **facts), target, smtp(box))
    letter = email.message_from_bytes(box.letters[0], policy=policy.default)
    assert letter["Subject"] == "A Bcc: x@y.example B body"
    assert letter["Bcc"] is None
    assert box.recipients == [["a@hospital.example"]]


def test_a_password_that_is_wrong_is_final(mail_server, smtp, to, refused):
    box = mail_server("starttls")
    error = refused(to(email=("a@b.example",)), smtp(box, "starttls", password="wrong"))
    assert "does not let us log in; correct [smtp] username and password" in str(error)
    assert error.is_final
    assert "wrong" not in str(error)


def test_a_mail_server_without_tls_gets_no_password(mail_server, smtp, to, refused):
    error = refused(to(email=("a@b.example",)), smtp(mail_server("none"), "starttls"))
    assert "does not offer what [smtp] security or username asks for" in str(error)


def test_a_mail_server_with_another_certificate_gets_nothing(mail_server, smtp, to, refused):
    box = mail_server("starttls")
    error = refused(to(email=("a@b.example",)), smtp(box, "starttls", authorities=None))
    assert "its certificate is not good" in str(error)
    assert (box.letters, error.is_final) == ([], False)


def test_recipients_that_are_refused_are_named(mail_server, smtp, to, refused):
    box = mail_server()
    some = refused(to(email=("a@b.example", "nobody@b.example")), smtp(box))
    assert "took it, but not for nobody@b.example" in str(some)
    none = refused(to(email=("nobody@b.example",)), smtp(box))
    assert "takes it for none of nobody@b.example (550)" in str(none)
    assert (some.is_final, none.is_final, len(box.letters)) == (True, True, 1)


def test_a_mail_server_that_says_nothing_is_left_after_the_time(smtp, to, refused):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        table = SmtpSettings("127.0.0.1", silent.getsockname()[1], "none", sender="a@b.example")
        error = refused(to(email=("a@b.example",), timeout_seconds=0.2), table)
    assert "did not answer in time" in str(error)


def test_reaching_tells_nothing_to_anybody(webhook, mail_server, smtp, to):
    hook, box = webhook(405), mail_server("starttls")
    assert "is there (HEAD is answered 405)" in reach(to(hook.url), NO_MAIL)
    told = reach(to(email=("a@b.example",)), smtp(box, "starttls"))
    assert told.endswith("answers and lets us log in")
    assert (hook.got, box.letters) == ([], [])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"url": "http://hooks.example/x"}, "url: expected https://"),
        ({"url": "https://me:pass@hooks.example/x"}, "url: expected neither a user"),
        ({"url": "ftp://hooks.example/x"}, "url: expected https://host/path"),
        ({"url": "https://hooks.example/x\r\nA: b"}, "url: expected neither"),
        ({"email": ("a@b.example\nBcc: c@d.example",)}, "email: expected an address"),
        ({}, "url: expected either"),
        ({"url": "https://x.example", "email": ("a@b.example",)}, "url: expected either"),
        ({"url": "https://x.example", "alarms": ("every",)}, "alarms: expected some of all, held"),
        ({"email": ("a@b.example",), "body": "{}"}, "body: an e-mail has none"),
    ],
)
def test_a_table_that_cannot_be_is_refused(keys, told):
    with pytest.raises(ValueError, match="^" + told.replace("[", r"\[")):
        NotifySettings("x", **keys)
