"""STOW-RS: to Orthanc's plug-in, and to a server that follows a script."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file

from listener.part10 import silence_dicom_libraries
from query.files import dicom_files
from query.identifiers import Selection
from query.send import send_files
from query.sent import SendPolicy
from query.settings import PacsSettings
from query.web import fetch

silence_dicom_libraries()

US = {"calling_ae": "SAFELIGHT"}


@pytest.fixture
def web_server(orthanc):
    """The settings of an Orthanc that is sent to by DICOMweb."""
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if not plugin.exists():
        pytest.skip("Orthanc's DICOMweb plug-in is not installed (Debian: orthanc-dicomweb)")
    pacs = orthanc(Plugins=[str(plugin)], DicomWeb={"Enable": True, "Root": "/dicom-web/"})
    return to(pacs.http_port)


def to(port, **more):
    url = f"http://127.0.0.1:{port}/dicom-web"
    return PacsSettings("main", "WEB1", "127.0.0.1", 104, send="dicomweb", url=url, **more)


@pytest.fixture
def server():
    """Function that starts a server which answers each POST by a function, told the UIDs."""
    running = []

    def start(answer):
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self._body()
                code, said = answer(body)
                content = json.dumps(said).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/dicom+json; charset=utf-8")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def _body(self):
                if "Content-Length" in self.headers:
                    return self.rfile.read(int(self.headers["Content-Length"]))
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
                return body

            def log_message(self, *_):
                pass

        httpd = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=httpd.serve_forever, args=(0.02,))
        thread.start()
        running.append((httpd, thread))
        return to(httpd.server_port, response_seconds=5)

    yield start
    for httpd, thread in running:
        httpd.shutdown()
        httpd.server_close()
        thread.join()


def reference(uid, **reasons):
    item = {"00081155": {"vr": "UI", "Value": [uid]}}
    return item | {tag: {"vr": "US", "Value": [value]} for tag, value in reasons.items()}


def said(stored=(), failed=()):
    return {
        "00081199": {"vr": "SQ", "Value": list(stored)},
        "00081198": {"vr": "SQ", "Value": list(failed)},
    }


def test_instances_arrive_in_orthanc_as_they_are(web_server, build_study, tmp_path):
    study = build_study({"CT": 3})
    compressed = pydicom.dcmread(get_testdata_file("MR_small_RLE.dcm"))
    compressed.StudyInstanceUID, compressed.PatientID = study.StudyInstanceUID, "P0042"
    compressed.save_as(study.folder / "rle.dcm")
    files, _ = dicom_files(study.folder)
    outcome = send_files(files, web_server, **US)
    assert outcome.accepted == 4, outcome.refusals()
    got = {}

    def keep(instance):
        got[instance.SOPInstanceUID] = instance.transfer_syntax_uid
        return 0x0000, ""

    (fetched,) = fetch(web_server, [Selection(study.StudyInstanceUID)], keep)
    assert not fetched.refusal
    assert got == {file.SOPInstanceUID: file.TransferSyntaxUID for file in files}


def test_each_instance_has_the_result_that_the_server_names(server, build_study):
    files, _ = dicom_files(build_study({"CT": 3}).folder)
    a, b, c = (file.SOPInstanceUID for file in files)
    answer = said(
        [reference(a), reference(b, **{"00081196": 0xB000})],
        [reference(c, **{"00081197": 0xA900})],
    )
    outcome = send_files(files, server(lambda _: (202, answer)), **US)
    assert [(one.accepted, one.status) for one in outcome.sent] == [
        (True, 0x0000),
        (True, 0xB000),
        (False, 0xA900),
    ]


def test_all_failed_is_read_from_the_conflict_and_what_may_pass_is_tried_again(server, build_study):
    files, _ = dicom_files(build_study({"CT": 2}).folder)
    a, b = (file.SOPInstanceUID for file in files)
    bodies, waits = [], []

    def answer(body):
        bodies.append(body)
        if len(bodies) == 1:
            full = reference(a, **{"00081197": 0xA700})
            return 409, said(failed=[full, reference(b, **{"00081197": 0xC000})])
        return 200, said([reference(a)])

    policy = SendPolicy(tries=2, wait=waits.append)
    outcome = send_files(files, server(answer), policy=policy, **US)
    assert {one.file.SOPInstanceUID: one.status for one in outcome.sent} == {a: 0, b: 0xC000}
    assert [a.encode() in body for body in bodies] == [True, True]
    assert [b.encode() in body for body in bodies] == [True, False]
    assert waits == [5.0]


def test_an_instance_that_the_answer_leaves_out_is_not_called_stored(server, build_study):
    files, _ = dicom_files(build_study({"CT": 2}).folder)
    answer = said([reference(files[0].SOPInstanceUID)])
    outcome = send_files(files, server(lambda _: (202, answer)), **US)
    assert [one.accepted for one in outcome.sent] == [True, False]


@pytest.mark.parametrize(("code", "is_retriable"), [(503, True), (429, True), (400, False)])
def test_a_refused_request_tells_of_each_instance(server, build_study, code, is_retriable):
    files, _ = dicom_files(build_study({"CT": 2}).folder)
    outcome = send_files(files, server(lambda _: (code, {})), **US)
    assert [(one.accepted, one.is_retriable) for one in outcome.sent] == [(False, is_retriable)] * 2
    assert f"answered HTTP {code}" in outcome.sent[0].reason


def test_a_server_that_is_down_is_told_with_a_remedy(free_port, build_study):
    files, _ = dicom_files(build_study({"CT": 1}).folder)
    (sent,) = send_files(files, to(free_port()), **US).sent
    assert "cannot reach WEB1" in sent.reason
    assert sent.is_retriable
