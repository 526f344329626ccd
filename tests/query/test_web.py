"""DICOMweb against a server that follows a script, over HTTP.

Not covered: how a real server answers; tests/acceptance/test_pacs.py has Orthanc's plug-in.
"""

import json
import logging
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from query.errors import (
    AssociationRejected,
    PacsTimeout,
    PacsUnreachable,
    QueryError,
    QueryFailed,
)
from query.identifiers import Selection
from query.keys import StudyCriteria
from query.settings import PacsSettings
from query.web import fetch, find_instances, find_series, find_studies

US = {"calling_ae": "SAFELIGHT"}
BY_NUMBER = StudyCriteria(accession_number="SECRET1")


def element(vr, *values):
    return {"vr": vr, "Value": list(values)}


def study(number, accession="SECRET1"):
    return {
        "0020000D": element("UI", f"1.2.{number}"),
        "00080050": element("SH", accession),
        "00100010": element("PN", {"Alphabetic": "Müller^Eva"}),
        "00201208": element("IS", 12),
    }


@pytest.fixture
def server():
    """Function that starts a server: ``server(answer)``, told path and query of each request."""
    running = []

    def start(answer, **settings):
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                asked = urlsplit(self.path)
                status, body = answer(asked.path, parse_qs(asked.query), self.headers)
                content = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/dicom+json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_):
                pass

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=httpd.serve_forever)
        thread.start()
        running.append((httpd, thread))
        url = f"http://127.0.0.1:{httpd.server_port}/dicom-web"
        values = {"retrieve": "dicomweb", "url": url, "response_seconds": 5, **settings}
        return PacsSettings("main", "PACS1", "127.0.0.1", 104, **values)

    yield start
    for httpd, thread in running:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def paged(answers):
    """An answer function that gives at most two at a time."""

    def answer(_path, query, _headers):
        begin, limit = int(query["offset"][0]), min(2, int(query["limit"][0]))
        return 200, answers[begin : begin + limit]

    return answer


def test_studies_are_read_as_from_a_c_find_and_compared_again(server):
    asked = []

    def answer(path, query, _headers):
        asked.append((path, query))
        return 200, [study(1), study(2, "OTHER")] if query["offset"] == ["0"] else []

    found = find_studies(server(answer), BY_NUMBER, **US)

    (one,) = found.studies
    assert (one.StudyInstanceUID, one.AccessionNumber, one.PatientName) == (
        "1.2.1",
        "SECRET1",
        "Müller^Eva",
    )
    assert one.NumberOfStudyRelatedInstances == 12
    assert (found.dropped, found.truncated) == (1, False)
    path, query = asked[0]
    assert path == "/dicom-web/studies"
    assert query["AccessionNumber"] == ["SECRET1"]
    assert "NumberOfStudyRelatedInstances" in query["includefield"]


def test_pages_are_read_to_the_end(server):
    instances = [{"00080018": element("UI", f"1.2.3.{n}")} for n in range(5)]

    found = find_instances(server(paged(instances)), "1.2", "1.3", **US)

    assert [one.SOPInstanceUID for one in found] == [f"1.2.3.{n}" for n in range(5)]


def test_a_server_that_knows_no_offset_is_asked_twice_and_not_for_ever(server):
    asked = []

    def answer(*_):
        asked.append(1)
        return 200, [{"0020000E": element("UI", "1.3")}]

    (series,) = find_series(server(answer), "1.2", **US)

    assert (series.StudyInstanceUID, series.SeriesInstanceUID) == ("1.2", "1.3")
    assert len(asked) == 2


def test_more_studies_than_the_limit_are_truncated(server):
    found = find_studies(
        server(paged([study(n) for n in range(9)]), max_results=3), BY_NUMBER, **US
    )

    assert (len(found.studies), found.truncated) == (3, True)


@pytest.mark.parametrize(
    ("status", "body", "error", "words"),
    [
        (401, [], AssociationRejected, "HTTP 401.; check username and password"),
        (500, [], QueryFailed, "PACS1 answered HTTP 500; its log says why"),
        (200, b"<html>", QueryFailed, "answered what is not DICOMweb; is the url right"),
        (200, [{"0020000D": 3}], QueryFailed, "an answer that is not DICOM JSON"),
    ],
)
def test_what_goes_wrong_is_told_apart_without_what_was_asked(
    server, caplog, status, body, error, words
):
    caplog.set_level(logging.DEBUG)

    with pytest.raises(error, match=words) as failed:
        find_studies(server(lambda *_: (status, body)), BY_NUMBER, **US)

    assert isinstance(failed.value, QueryError)
    assert "SECRET1" not in str(failed.value)
    assert "SECRET1" not in caplog.text


def test_a_server_that_is_not_there_and_one_that_is_silent_are_told_apart(
    free_port, listening_socket
):
    def asked(port):
        url = f"http://127.0.0.1:{port}/"
        settings = {"retrieve": "dicomweb", "url": url, "response_seconds": 0.3}
        return PacsSettings("main", "PACS1", "127.0.0.1", 104, **settings)

    with pytest.raises(PacsUnreachable, match="check the url"):
        find_studies(asked(free_port()), BY_NUMBER, **US)
    with pytest.raises(PacsTimeout, match="did not answer in time"):
        find_studies(asked(listening_socket.getsockname()[1]), BY_NUMBER, **US)


def test_the_account_is_given(server):
    given = []

    def answer(_path, _query, headers):
        given.append(headers["Authorization"])
        return 200, []

    find_studies(server(answer, username="reader", password="secret"), BY_NUMBER, **US)

    assert given == ["Basic cmVhZGVyOnNlY3JldA=="]


def test_what_cannot_be_sent_is_a_refusal_of_it_alone(server):
    pacs = server(lambda *_: (404, []))

    outcomes = list(fetch(pacs, [Selection("1.2"), Selection("1.3")], lambda _one: (0, "")))

    assert [outcome.refusal for outcome in outcomes] == [
        "PACS1 answered HTTP 404; its log says why",
        "PACS1 answered HTTP 404; its log says why",
    ]
    assert all(outcome.is_partial for outcome in outcomes)


@pytest.mark.parametrize("url", ["", "ftp://pacs", "http://reader:secret@pacs"])
def test_a_url_that_cannot_be_meant_is_refused(url):
    with pytest.raises(ValueError, match="url: ") as refused:
        PacsSettings("main", "PACS1", "pacs", 104, retrieve="dicomweb", url=url)
    assert "secret" not in str(refused.value)
