"""What programs are told, and as whom. That answers are as described: test_api_openapi.py."""

import json
import re
import socket
from urllib.parse import urlencode

import pytest

from web_status import app as page_app
from web_status.api import operation
from web_status.api.operation import PREFIX
from web_status.api.problems import PROBLEM_TYPE
from web_status.api.retrieves import RetrieveAsked
from web_status.archive import ACCESSIONS_MAX, Sought, Wanted
from web_status.roles import Role
from web_status.security import BODY_BYTES_MAX

from .forms import form


def audit(context) -> list[dict[str, str]]:
    return [json.loads(line) for line in (context.data / "audit.log").read_text().splitlines()]


def test_a_series_is_told_with_what_was_made_of_it(api, tell_everything):
    tell_everything()
    series = api("olga", "GET", "/series/1").json
    assert (series["PatientName"], series["AccessionNumber"]) == ("DOE^JANE", "00012345")
    assert (series["state"], series["grade"], series["instances"]) == ("done", "released", 4)
    (job,) = api("olga", "GET", "/series/1/jobs").json["items"]
    assert [step["processor"] for step in job["steps"]] == ["convert", "qc", "preview", "metadata"]
    assert job["steps"][0]["details"]["shape"] == [320, 320, 4]
    nifti, preview = job["outputs"]
    assert nifti == api("olga", "GET", f"/outputs/{nifti['id']}").json
    file = api("olga", "GET", f"/outputs/{nifti['id']}/file")
    assert (file.headers["Content-Type"], len(file.body)) == ("application/gzip", nifti["bytes"])
    assert preview["id"] == series["preview_id"]
    decision = api("olga", "GET", "/series/1/decision").json
    assert [rule["verdict"] for rule in decision["reasons"]] == ["no", "yes"]
    assert decision["reasons"][0]["conditions"][0]["text"].startswith("ImageType = ORIGINAL")
    assert api("olga", "GET", "/series/1/history").json["items"]
    assert [each["id"] for each in api("olga", "GET", "/studies/1").json["series"]] == [
        *(1, 2, 3, 4, 5),
    ]


def test_lists_come_in_pages(api, tell_everything):
    tell_everything()
    first, second, after = (
        api("victor", "GET", f"/series?size=3&page={page}").json for page in (1, 2, 3)
    )
    assert (first["total"], first["page"], first["size"]) == (5, 1, 3)
    assert [each["id"] for each in first["items"] + second["items"]] == [5, 4, 3, 2, 1]
    assert after["items"] == []
    dead = api("victor", "GET", "/jobs?state=dead").json
    assert [(job["id"], job["state"]) for job in dead["items"]] == [(3, "dead")]
    assert dead["total"] == 1
    pages = [api("victor", "GET", f"/jobs?size=2&page={page}").json for page in (1, 2)]
    assert sorted(job["id"] for page in pages for job in page["items"]) == [1, 2, 3]
    report = api("victor", "GET", "/retrieves/1/report?size=1&page=2").json
    assert [item["accession_number"] for item in report["items"]] == ["A2"]
    assert report["total"] == 2
    assert [each["id"] for each in api("victor", "GET", "/retrieves").json["items"]] == [1]
    assert api("victor", "GET", "/retrieves?page=2").json["items"] == []


def test_names_are_hidden_from_viewers_wherever_they_are(page, users, api, tell_everything):
    tell_everything()
    paths = (
        *("/series", "/series/2", "/series/2/history", "/series/2/decision", "/series/2/jobs"),
        *("/studies/1", "/jobs", "/jobs/3", "/now", "/outputs/1", "/alarms", "/senders", "/state"),
    )
    for path in paths:
        hidden, shown = (api(who, "GET", path) for who in ("victor", "olga"))
        assert (hidden.status, shown.status) == (200, 200)
        for name in ("DOE", "JANE", "P0042"):
            assert name not in hidden.text, path
    assert api("victor", "GET", "/series/2").json["PatientName"] == "(hidden)"
    assert api("victor", "GET", "/series/2").json["SeriesDescription"] == "(hidden) sagittal"
    assert api("victor", "GET", "/jobs/3").json["error"] == "no converter takes (hidden)"
    assert api("olga", "GET", "/jobs/3").json["error"] == "no converter takes DOE"
    assert api("victor", "GET", "/jobs/1").json["folder"] is None
    assert api("victor", "GET", "/outputs/1").json["path"] == "nifti-1.nii.gz"
    for path in ("/studies/1/report", "/studies/1/workbook"):
        refused = api("victor", "GET", path)
        assert (refused.status, refused.headers["Content-Type"]) == (403, PROBLEM_TYPE)
        assert refused.json["detail"] == "This file names patients, who are hidden from your role."
    secret = users.add_token("ada", "narrow", Role.VIEWER)  # of somebody who may see names
    narrow = page.get(f"{PREFIX}/series/1", Authorization=f"Bearer {secret}")
    assert narrow.json["PatientName"] == "(hidden)"


def test_what_is_asked_for_reaches_the_daemon_as_from_the_page(api, context):
    asked = {"accessions": ["001", "A2"], "pacs": "main", "modalities": ["CT", "MR"], "least": 3.0}
    asked |= {"format": "npz", "run": ["convert", "qc"]}
    ordered = api("olga", "POST", "/retrieves", asked)
    assert (ordered.status, ordered.json) == (201, {"number": 1})
    found = api("olga", "POST", "/search", {"patient_name": "DOE*", "modality": "MR"})
    assert found.json["studies"][0]["PatientName"] == "DOE^JANE"
    assert found.json["more"] is True
    api("olga", "POST", "/jobs/7/resend")
    api("ada", "POST", "/system/pause", {"processor": "convert"})
    assert api("olga", "POST", "/pacs/1/echo").json["has_answered"] is True
    assert api("victor", "GET", "/pacs").json["items"][0]["echo"]["words"] == "7 ms"
    assert api("olga", "POST", "/pacs/3/echo").status == 404
    assert context.actions.deeds == [
        (
            "retrieve",
            Wanted(
                *("001\nA2", "", "main", "", "CT MR", "3"),
                output_format="npz",
                run=("convert", "qc"),
            ),
        ),
        ("search", Sought(patient_name="DOE*", modality="MR")),
        ("resend", 7),
        ("pause", "convert"),
        ("echo", "main"),
    ]
    told = [
        (line["action"], line["user"], line["target"], line["token"]) for line in audit(context)
    ]
    assert told == [
        ("retrieve ordered", "olga", "list 1", "test"),
        ("PACS searched", "olga", "", "test"),
        ("job sent again", "olga", "7", "test"),
        ("processing paused", "ada", "convert", "test"),
        ("echo sent", "olga", "main", "test"),
    ]
    assert "DOE" not in (context.data / "audit.log").read_text()


@pytest.mark.parametrize("accession", ["", "A 1", "A1,A2", "A;", "A\n1", "x" * 65])
def test_an_accession_number_is_one_and_not_a_list(api, context, accession):
    told = api("olga", "POST", "/retrieves", {"accessions": ["A0", accession]})
    assert told.status == 422
    assert told.json["errors"][0]["where"] == "accessions.1"
    assert context.actions.deeds == []


def test_the_longest_list_is_taken_from_programs_and_from_the_page(page, log_in, api, context):
    numbers = [f"{number:016d}" for number in range(ACCESSIONS_MAX)]
    assert api("olga", "POST", "/retrieves", {"accessions": numbers}).status == 201
    typed = urlencode({"accessions": "\r\n".join(numbers)}).encode()
    sent = {"Content_Type": "application/x-www-form-urlencoded", **log_in(page, "olga")}
    assert page.get("/retrieves", "POST", typed, **sent).status == 303
    first, second = (wanted.accessions.split() for _, wanted in context.actions.deeds)
    assert first == second == numbers


def test_what_is_not_given_is_as_an_empty_field_of_the_page():
    assert RetrieveAsked(accessions=("1",)).wanted() == Wanted("1")


def test_an_upload_can_be_followed_to_its_end(api, context, wait_until):
    body, kind = form(("files", "a.dcm", b"x"), ("files", "empty", b""))
    given = api("olga", "POST", "/uploads", body, Content_Type=kind)
    assert (given.status, given.json["number"], given.json["by"]) == (202, 1, "olga")
    wait_until(lambda: api("olga", "GET", "/uploads/1").json["has_ended"], 60)
    ended = api("olga", "GET", "/uploads/1").json
    assert (ended["taken"]["stored"], ended["taken"]["refused"]) == (1, 1)
    assert ended["taken"]["reasons"] == [["empty", "empty"]]
    api("olga", "POST", "/uploads", body, Content_Type=kind)
    assert [each["number"] for each in api("olga", "GET", "/uploads").json["items"]] == [2, 1]
    assert api("olga", "GET", "/uploads/3").status == 404


def test_a_check_can_be_followed_to_its_end(api, context, wait_until):
    assert api("ada", "GET", "/system/check").json["at"] is None
    context.actions.may_check.clear()
    assert api("ada", "POST", "/system/check").json["is_checking"] is True
    context.actions.may_check.set()
    wait_until(lambda: not api("ada", "GET", "/system/check").json["is_checking"], 60)
    assert api("ada", "GET", "/system/check").json["is_well"] is True


def test_a_program_that_is_nobody_is_told_how_to_be_somebody(page, api, users):
    nobody = api(None, "GET", "/series")
    assert (nobody.status, nobody.headers["Content-Type"]) == (401, PROBLEM_TYPE)
    assert nobody.headers["WWW-Authenticate"] == 'Bearer realm="Safelight"'
    assert "safelight user token" in nobody.json["detail"]
    secret = users.add_token("ada", "export")
    good = {"Authorization": f"bearer {secret}"}
    assert page.get(f"{PREFIX}/session", **good).json["token"] == "export"
    for wrong in (secret[:-1] + "x", secret[:-1], "", "x" * 5000, "é"):
        given = f"Bearer {wrong}".encode().decode("latin-1")
        assert page.get(f"{PREFIX}/series", Authorization=given).status == 401, wrong
    assert page.get(f"{PREFIX}/series", Authorization=f"Basic {secret}").status == 401
    refused = [line for line in audit(page.context) if line["action"] == "token refused"]
    assert [(line["user"], line["address"]) for line in refused] == [("", "127.0.0.1")]  # once
    assert page.get("/", **good).status == 401  # pages are for people
    users.revoke_token("ada", "export")
    assert page.get(f"{PREFIX}/series", **good).status == 401


def test_a_wrong_token_is_not_made_up_for_by_a_cookie(page, users, log_in):
    ada = log_in(page, "ada")
    assert page.get(f"{PREFIX}/state", **ada).status == 200
    assert page.get(f"{PREFIX}/state", Authorization="Bearer wrong", **ada).status == 401
    assert page.get(f"{PREFIX}/state", Authorization="Basic of-a-proxy", **ada).status == 200


def test_a_token_may_never_do_more_than_its_user_may_now(page, users, api):
    assert api("ada", "GET", "/system/log").status == 200
    users.set_role("ada", Role.VIEWER)
    assert api("ada", "GET", "/system/log").status == 403
    assert api("ada", "GET", "/session").json["role"] == "viewer"
    users.remove("ada")
    assert api("ada", "GET", "/session").status == 401


def test_the_day_a_token_was_used_is_noted_once(page, users, api, monkeypatch):
    noted = []
    monkeypatch.setattr(
        "web_status.access.UsersFile.note_use", lambda self, *given: noted.append(given)
    )
    for _ in range(3):
        assert api("ada", "GET", "/state").status == 200
    assert len(noted) == 1
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", noted[0][1])


def test_a_browsers_session_needs_its_csrf_token_and_is_told_it(page, users, log_in, context):
    cookie = {"Cookie": log_in(page, "olga")["Cookie"]}
    told = page.get(f"{PREFIX}/session", **cookie).json
    assert (told["user"], told["role"], told["token"]) == ("olga", "operator", "")
    refused = page.get(f"{PREFIX}/jobs/1/resend", "POST", **cookie)
    assert (refused.status, refused.headers["Content-Type"]) == (403, PROBLEM_TYPE)
    token = {"X_CSRF_Token": told["csrf_token"]}
    assert page.get(f"{PREFIX}/jobs/1/resend", "POST", **cookie, **token).status == 204
    assert context.actions.deeds == [("resend", 1)]


def test_on_this_machine_without_users_a_program_is_as_the_page(page, context):
    session = page.get(f"{PREFIX}/session")
    assert (session.json["user"], session.json["role"]) == ("", "admin")
    assert page.get(f"{PREFIX}/jobs/1/resend", "POST").status == 403
    headers = {
        "Cookie": session.headers["Set-Cookie"].partition(";")[0],
        "X_CSRF_Token": session.json["csrf_token"],
    }
    assert page.get(f"{PREFIX}/jobs/1/resend", "POST", **headers).status == 204


def test_what_is_not_there_is_a_problem_and_not_a_page(api, chronicle):
    for path in ("/nothing", "/series/999999", "/series/x", "/jobs/1", "/series/1/decision"):
        told = api("ada", "GET", path)
        assert (told.status, told.headers["Content-Type"]) == (404, PROBLEM_TYPE)
        assert told.json["title"] == "Not Found"
    wrong = api("ada", "DELETE", "/series")
    assert (wrong.status, wrong.headers["Content-Type"]) == (405, PROBLEM_TYPE)
    assert "GET" in wrong.headers["Allow"]


def test_a_body_that_is_no_json_too_large_or_compressed_is_refused(api, context):
    plain = api("olga", "POST", "/search", b"{}", Content_Type="text/plain")
    assert plain.status == 415
    big = {"accessions": ["x" * 60] * (BODY_BYTES_MAX // 60)}
    assert api("olga", "POST", "/retrieves", big).status == 413
    assert api("olga", "POST", "/search", {}, Content_Encoding="gzip").status == 413
    assert context.actions.deeds == []


def test_a_body_that_does_not_come_is_given_up(serve_page, users, monkeypatch):
    monkeypatch.setattr(operation, "_BODY_SECONDS", 0.2)
    monkeypatch.setattr(page_app, "_LINGERING_SECONDS", 0.2)
    page, secret = serve_page(), users.add_token("olga", "slow")
    head = (
        f"POST {PREFIX}/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n"
        f"Authorization: Bearer {secret}\r\nContent-Type: application/json\r\n\r\n{{"
    )
    with socket.create_connection(("127.0.0.1", page.port), timeout=60) as connection:
        connection.sendall(head.encode())
        assert connection.recv(100).startswith(b"HTTP/1.1 408 ")


def test_an_error_in_the_code_tells_nothing(api, context, monkeypatch, caplog):
    def broken():
        raise RuntimeError("DOE^JANE")

    monkeypatch.setitem(context.__dict__, "progress", broken)
    told = api("ada", "GET", "/now")
    assert (told.status, told.headers["Content-Type"]) == (500, PROBLEM_TYPE)
    assert "DOE" not in told.text + caplog.text
