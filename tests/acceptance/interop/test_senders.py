"""What each sender sends is in the spool byte for byte, in every transfer syntax it speaks.

pynetdicom sends a file's dataset as it is. The others encode it anew, so what they send is taken
from a witness: a storage SCP of another make, to which the same sender sends the same file.
"""

import json
import os
import shutil
import subprocess
import urllib.request
from pathlib import Path

import pydicom
import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage
from pynetdicom import AE, _config

DCMJS_DIMSE = "0.3.3"
HTJ2K = ("HTJ2K", "HTJ2K lossless", "HTJ2K lossless RPCL")

STORESCU_OPTIONS = {
    "implicit little endian": "-xi",
    "explicit little endian": "-xe",
    "explicit big endian": "-xb",
    "deflated": "-xd",
    "JPEG baseline": "-xy",
    "JPEG extended": "-xx",
    "JPEG lossless": "-xs",
    "JPEG-LS lossless": "-xt",
    "JPEG-LS near-lossless": "-xu",
    "JPEG 2000 lossless": "-xv",
    "JPEG 2000": "-xw",
    "RLE": "-xr",
    "MPEG2": "-xm",
    "MPEG4": "-xn",
    "HEVC": "-x4",
}


@pytest.fixture
def associate(node, monkeypatch):
    """Function that asks for presentation contexts, each (SOP class, transfer syntaxes)."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)  # of a file: as it is
    opened = []

    def request(*contexts):
        ae = AE("PYNETDICOM")
        for sop_class, transfer_syntaxes in contexts:
            ae.add_requested_context(sop_class, transfer_syntaxes)
        association = ae.associate("127.0.0.1", node.port, ae_title="SAFELIGHT")
        opened.append(association)
        return association

    yield request
    for association in opened:
        if association.is_established:
            association.release()


@pytest.fixture
def send_unchanged(associate):
    """Function that sends a file's dataset on an association of its own; returns the status."""

    def send(path):
        meta = pydicom.filereader.read_file_meta_info(path)
        association = associate((meta.MediaStorageSOPClassUID, [meta.TransferSyntaxUID]))
        status = association.send_c_store(path).Status
        association.release()
        return status

    return send


@pytest.fixture(scope="session")
def dcmjs(tmp_path_factory):
    """Function that runs dcmjs-dimse, a DICOM sender in JavaScript: ``dcmjs(port=, files=)``.

    It sends a C-ECHO, then each file, and returns its answers: ``{"echo": 0, "files": {..}}``.
    """
    modules = npm_package("dcmjs-dimse", DCMJS_DIMSE, tmp_path_factory)
    script = Path(__file__).with_name("dcmjs_send.js")

    def run(port, files=(), called="SAFELIGHT"):
        task = {"port": port, "called": called, "files": [str(path) for path in files]}
        done = subprocess.run(
            ["node", str(script), json.dumps(task)],
            env={**os.environ, "NODE_PATH": str(modules)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


def test_what_pynetdicom_sends_is_kept_byte_for_byte(
    node, samples, send_unchanged, unlike, dataset_bytes, uid_of
):
    files = samples()
    assert {name: send_unchanged(path) for name, path in files.items()} == dict.fromkeys(files, 0)
    assert unlike(files, {uid_of(path): dataset_bytes(path) for path in files.values()}) == []
    for name, path in files.items():
        kept = pydicom.filereader.read_file_meta_info(node.kept(uid_of(path)))
        sent = pydicom.filereader.read_file_meta_info(path)
        assert kept.TransferSyntaxUID == sent.TransferSyntaxUID, name
        assert kept.SendingApplicationEntityTitle == "PYNETDICOM"


def test_a_deflated_dataset_without_pixels_of_its_own_is_kept(
    sample, send_unchanged, unlike, dataset_bytes, uid_of
):
    path = sample("JPIP reference, deflated")
    assert send_unchanged(path) == 0x0000
    assert unlike({"JPIP": path}, {uid_of(path): dataset_bytes(path)}) == []


@pytest.mark.parametrize("name", STORESCU_OPTIONS)
def test_what_storescu_sends_is_kept_byte_for_byte(node, witness, sample, storescu, unlike, name):
    path = sample(name)
    options = (STORESCU_OPTIONS[name], "-R")
    storescu(path, port=witness.port, called="WITNESS", options=options)
    storescu(path, port=node.port, called="SAFELIGHT", options=options)
    assert unlike({name: path}, witness.datasets) == []


def test_what_dcmsend_sends_is_kept_byte_for_byte(node, explicit_witness, samples, program, unlike):
    files = samples(leave_out=HTJ2K)  # unknown to DCMTK 3.6.7
    for port in (explicit_witness.port, node.port):
        command = [program("dcmsend"), "--decompress-never", "-aec", "SAFELIGHT"]
        command += ["127.0.0.1", str(port), *map(str, files.values())]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
    assert unlike(files, explicit_witness.datasets) == []


def test_what_orthanc_sends_is_kept_byte_for_byte(node, witness, orthanc, samples, unlike):
    pacs = orthanc(
        modalities={"SAFELIGHT": ("127.0.0.1", node.port), "WITNESS": ("127.0.0.1", witness.port)}
    )
    files = samples(leave_out=HTJ2K)  # unknown to Orthanc 1.10
    held = [rest(pacs, "/instances", path.read_bytes())["ID"] for path in files.values()]
    for modality in ("WITNESS", "SAFELIGHT"):
        body = json.dumps({"Resources": held, "Synchronous": True}).encode()
        result = rest(pacs, f"/modalities/{modality}/store", body)
        assert (result["InstancesCount"], result["FailedInstancesCount"]) == (len(files), 0)
    assert unlike(files, witness.datasets) == []
    assert rest(pacs, "/modalities/SAFELIGHT/echo", b"{}") == {}


def test_what_dcmjs_dimse_sends_is_kept_byte_for_byte(
    node, explicit_witness, dcmjs, samples, unlike
):
    files = samples(leave_out=("deflated",))  # dcmjs-dimse proposes it and cannot write it
    for port in (explicit_witness.port, node.port):
        answers = dcmjs(port, files.values())
        assert answers["echo"] == 0
        assert answers["files"] == {str(path): 0 for path in files.values()}
    assert unlike(files, explicit_witness.datasets) == []


def test_the_echo_of_dcmtk_is_answered(node, program):
    command = [program("echoscu"), "-aec", "SAFELIGHT", "127.0.0.1", str(node.port)]
    assert subprocess.run(command, check=False).returncode == 0


PRIVATE_SYNTAX = "1.2.826.0.1.3680043.9.9.1"
PRIVATE_CLASS = "1.2.826.0.1.3680043.9.9.2"


def test_a_private_transfer_syntax_costs_only_its_own_context(node, associate, sample, uid_of):
    association = associate(
        (MRImageStorage, [PRIVATE_SYNTAX]), (CTImageStorage, [ExplicitVRLittleEndian])
    )
    (refused,) = association.rejected_contexts
    # PS3.8 Table 9-18: transfer-syntaxes-not-supported
    assert (refused.abstract_syntax, refused.result) == (MRImageStorage, 4)
    path = sample("explicit little endian")
    assert association.send_c_store(path).Status == 0x0000
    assert node.kept(uid_of(path))


def test_of_a_private_and_a_standard_transfer_syntax_the_standard_one_is_taken(associate):
    association = associate((CTImageStorage, [PRIVATE_SYNTAX, ExplicitVRLittleEndian]))
    (accepted,) = association.accepted_contexts
    assert accepted.transfer_syntax == [ExplicitVRLittleEndian]


def test_a_private_sop_class_costs_only_its_own_context(node, associate, sample, wait_until):
    association = associate(
        (PRIVATE_CLASS, [ExplicitVRLittleEndian]), (CTImageStorage, [ExplicitVRLittleEndian])
    )
    (refused,) = association.rejected_contexts
    # PS3.8 Table 9-18: abstract-syntax-not-supported
    assert (refused.abstract_syntax, refused.result) == (PRIVATE_CLASS, 3)
    assert association.send_c_store(sample("explicit little endian")).Status == 0x0000
    wait_until(
        lambda: any(PRIVATE_CLASS in event.get("reason", "") for event in node.events()),
        "the refused SOP class in the journal",
    )


def rest(pacs, path, body):
    """POST to Orthanc's REST API and return its answer."""
    with urllib.request.urlopen(f"http://127.0.0.1:{pacs.http_port}{path}", body) as answer:
        return json.loads(answer.read() or b"{}")


def npm_package(name, version, tmp_path_factory):
    """A folder of node modules with the package, installed once into the user's cache."""
    if not (shutil.which("node") and shutil.which("npm")):
        pytest.skip("node and npm are not installed (Debian: npm)")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = cache / "safelight-tests" / f"{name}-{version}"
    if not folder.is_dir():
        made = tmp_path_factory.mktemp("npm")
        command = ["npm", "install", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(
            [*command, "--prefix", str(made), f"{name}@{version}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if done.returncode:
            pytest.skip(f"npm cannot install {name} {version}: {done.stderr[-300:]}")
        folder.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, folder)
    return folder / "node_modules"
