"""Files that people give on the page, up to the daemon: tests/acceptance/test_upload.py."""

import http.client

import pytest

from .forms import form


@pytest.fixture
def olga(page, users, log_in):
    """Headers of an operator."""
    return log_in(page, "olga")


@pytest.fixture
def give(page, olga):
    """Function that sends a form as a program with the token in a header."""

    def send(*parts, **headers):
        body, kind = form(*parts)
        return page.get("/uploads", "POST", body, Content_Type=kind, **{**olga, **headers})

    return send


def nothing_is_left(context):
    return not list((context.data / "uploads").glob("*"))


def test_files_are_handed_on_under_names_of_ours_and_removed(page, context, give, olga, wait_until):
    answer = give(("files", "../../etc/x.dcm", b"one"), ("files", "DOE JANE.dcm", b""))
    assert (answer.status, answer.headers["Location"]) == (303, "/uploads")
    wait_until(lambda: context.kept.uploads[0].has_ended and nothing_is_left(context), 60)
    assert context.actions.deeds == [
        ("take in", [("../../etc/x.dcm", b"one"), ("DOE JANE.dcm", b"")])
    ]
    shown = page.section("uploads", "/uploads", **olga)
    assert "2 files, 3 bytes" in shown
    assert "1 new instance 1 refused" in shown
    assert "DOE JANE.dcm: empty" in shown
    audit = (context.data / "audit.log").read_text()
    assert '"files uploaded", "user": "olga", "target": "2 files"' in audit
    assert "DOE" not in audit


def test_a_browser_without_scripts_sends_the_token_as_the_first_field(page, context, olga):
    token, cookie = olga["X-CSRF-Token"], olga["Cookie"]
    for first, status in ((token, 303), ("0" * 64, 403), ("", 403)):
        body, kind = form(("csrf", None, first.encode()), ("files", "a", b"x"))
        answer = page.get("/uploads", "POST", body, Content_Type=kind, Cookie=cookie)
        assert answer.status == status
    body, kind = form(("files", "a", b"x"), ("csrf", None, token.encode()))  # too late
    assert page.get("/uploads", "POST", body, Content_Type=kind, Cookie=cookie).status == 403


def test_no_file_is_told(give, context):
    answer = give(("csrf", None, b"x"))
    assert answer.status == 409
    assert "no file was chosen. Nothing was done." in answer.text
    assert nothing_is_left(context)


def test_a_file_whose_name_has_semicolons_is_taken_with_the_others(context, give, wait_until):
    names = ["a.dcm", "DOE;JANE;1.dcm", "Dö;e;2.dcm"]
    assert give(*(("files", name, b"x") for name in names)).status == 303
    wait_until(lambda: context.actions.deeds, 60)
    assert context.actions.deeds == [("take in", [(name, b"x") for name in names])]


def test_more_than_is_allowed_is_refused_as_it_comes(serve_page, users, log_in, context):
    page = serve_page(upload_bytes_max=1000)
    headers = log_in(page, "olga")
    body, kind = form(("files", "a", b"x" * 1500))
    assert page.get("/uploads", "POST", body, Content_Type=kind, **headers).status == 413
    # Without a length it is counted.
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    pieces = iter([body[:700], body[700:]])
    connection.request("POST", "/uploads", pieces, {**headers, "Content-Type": kind})
    assert connection.getresponse().status == 413
    connection.close()
    assert nothing_is_left(context)
    assert context.actions.deeds == []


def test_a_full_disk_refuses_before_it_is_full(give, context):
    context.actions.room = 1 << 20
    answer = give(("files", "a", b"x"))
    assert answer.status == 507
    assert "The disk has no room for this." in answer.text
    assert nothing_is_left(context)


def test_an_upload_that_breaks_off_leaves_nothing(page, context, olga, wait_until):
    body, kind = form(("files", "a", b"x" * 100_000))
    connection = http.client.HTTPConnection("127.0.0.1", page.port, timeout=60)
    connection.putrequest("POST", "/uploads")
    for name, value in {**olga, "Content-Type": kind, "Content-Length": str(len(body))}.items():
        connection.putheader(name, value)
    connection.endheaders(body[:50_000])
    wait_until(lambda: not nothing_is_left(context), 60)
    connection.close()
    wait_until(lambda: nothing_is_left(context), 60)
    assert context.kept.uploads == []


def test_what_cannot_be_taken_in_is_told(page, context, give, olga, wait_until):
    context.actions.problem = "the disk failed: Input/output error"
    give(("files", "a", b"x"))
    wait_until(lambda: context.kept.uploads[0].has_ended, 60)
    assert "the disk failed: Input/output error" in page.section("uploads", "/uploads", **olga)
    wait_until(lambda: nothing_is_left(context), 60)


def test_what_an_earlier_run_left_is_removed(context, serve_node):
    (context.data / "uploads" / "old").mkdir(parents=True)
    serve_node(context)
    assert nothing_is_left(context)
