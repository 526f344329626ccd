"""The storage SCP against real peers: DCMTK and pynetdicom over sockets.

TLS, slow peers, hostile PDU lengths and many idle connections are not covered here.
"""

import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)
from pynetdicom import AE, _config, evt

from listener.errors import Deaf, PortTaken
from listener.scp import Receiver
from listener.settings import SIEMENS_CSA_NON_IMAGE, AcceptRule, ReceiverSettings
from listener.spool import Spool, SpoolSettings

PRIVATE_SOP_CLASS = "1.2.3.4.5.6.7"


def test_dcmtk_sends_an_instance_and_every_element_is_kept(receiving, spool, storescu, journal_of):
    path = get_testdata_file("CT_small.dcm")
    storescu(path, port=receiving().port, called="SAFELIGHT", calling="DCMTK")
    (kept,) = spool.instances.rglob("*.dcm")
    sent, received = pydicom.dcmread(path), pydicom.dcmread(kept)
    assert received.file_meta.SendingApplicationEntityTitle == "DCMTK"
    del sent["DataSetTrailingPadding"]  # storescu leaves it out
    assert list(received) == list(sent)
    (released,) = journal_of("released")
    assert (released.calling_ae, released.stored) == ("DCMTK", 1)


def test_dcmtk_echo_is_answered(receiving, program):
    command = [program("echoscu"), "-aec", "SAFELIGHT", "127.0.0.1", str(receiving().port)]
    assert subprocess.run(command, check=False).returncode == 0


def test_a_port_of_both_kinds_knows_an_ipv4_sender_by_its_ipv4_address(
    receiving, storescu, journal_of
):
    if not socket.has_dualstack_ipv6():
        pytest.skip("this machine has no IPv6")
    receiver = receiving(host="::", accept=(AcceptRule("DCMTK", ("127.0.0.0/8",)),))
    storescu(
        get_testdata_file("CT_small.dcm"), port=receiver.port, called="SAFELIGHT", calling="DCMTK"
    )
    (released,) = journal_of("released")
    assert released.stored == 1
    (accepted,) = journal_of("accepted")
    assert accepted.address == "127.0.0.1"


SYNTAXES = {
    "CT_small.dcm": ExplicitVRLittleEndian,
    "MR_small_implicit.dcm": ImplicitVRLittleEndian,
    "MR_small_bigendian.dcm": ExplicitVRBigEndian,
    "image_dfl.dcm": DeflatedExplicitVRLittleEndian,
    "MR_small_RLE.dcm": RLELossless,
    "MR_small_jp2klossless.dcm": JPEG2000Lossless,
    "MR_small_jpeg_ls_lossless.dcm": JPEGLSLossless,
}


@pytest.mark.parametrize("name", SYNTAXES)
def test_each_transfer_syntax_is_kept_as_it_came(
    receiving, spool, name, free_port, monkeypatch, tmp_path
):
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    path = get_testdata_file(name)
    sent = pydicom.dcmread(path, stop_before_pixels=True)
    receiver = receiving()
    ae = AE("SENDER")
    ae.add_requested_context(sent.SOPClassUID, SYNTAXES[name])
    association = ae.associate("127.0.0.1", receiver.port, ae_title="SAFELIGHT")
    status = association.send_c_store(path)
    association.release()
    assert status.Status == 0x0000
    (kept,) = spool.instances.rglob("*.dcm")
    assert pydicom.dcmread(kept).file_meta.TransferSyntaxUID == SYNTAXES[name]
    assert dataset_bytes(kept) == dataset_bytes(path)


def dataset_bytes(path):
    """What follows the file meta group."""
    content = Path(path).read_bytes()
    return content[144 + int.from_bytes(content[140:144], "little") :]


def test_a_truncated_dataset_is_kept_as_it_came(receiving, spool, monkeypatch):
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)
    path = get_testdata_file("MR_truncated.dcm")
    receiver = receiving()
    ae = AE("SENDER")
    meta = pydicom.dcmread(path).file_meta
    ae.add_requested_context(meta.MediaStorageSOPClassUID, meta.TransferSyntaxUID)
    association = ae.associate("127.0.0.1", receiver.port, ae_title="SAFELIGHT")
    assert association.send_c_store(path).Status == 0x0000
    association.release()
    (kept,) = spool.instances.rglob("*.dcm")
    assert dataset_bytes(kept) == dataset_bytes(path)


def test_an_unknown_sop_class_is_refused_by_context_and_the_rest_works(
    receiving, associate, make_instance, spool, journal_of
):
    association = associate(receiving(), [PRIVATE_SOP_CLASS, CTImageStorage])
    assert [cx.abstract_syntax for cx in association.rejected_contexts] == [PRIVATE_SOP_CLASS]
    assert association.send_c_store(make_instance_with_meta(make_instance())).Status == 0x0000
    (refused,) = journal_of("refused")
    assert PRIVATE_SOP_CLASS in refused.reason
    assert "extra_sop_classes" in refused.reason


def test_a_private_sop_class_can_be_configured(receiving, associate, make_instance):
    association = associate(receiving(extra_sop_classes=(PRIVATE_SOP_CLASS,)), [PRIVATE_SOP_CLASS])
    instance = make_instance_with_meta(make_instance(SOPClassUID=PRIVATE_SOP_CLASS))
    assert association.send_c_store(instance).Status == 0x0000


def make_instance_with_meta(instance):
    instance.file_meta = pydicom.dataset.FileMetaDataset()
    instance.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return instance


@pytest.mark.parametrize(
    ("settings", "titles", "code", "reason"),
    [
        ({}, {"called_ae": "OTHER"}, 7, "it called 'OTHER'"),
        (
            {"accept": (AcceptRule("PACS1", ("127.0.0.0/8",)),)},
            {"calling_ae": "STRANGER"},
            3,
            "no [[dicom.accept]] names calling AE title 'STRANGER'",
        ),
        (
            {"accept": (AcceptRule("PACS1", ("10.0.0.0/8",)),)},
            {"calling_ae": "PACS1"},
            3,
            "opens address 127.0.0.1 to 'PACS1'",
        ),
        ({"accept": ()}, {}, 3, "no [[dicom.accept]]"),
    ],
)
def test_whom_nothing_lets_in_is_rejected_with_the_standards_reason(
    receiving, associate, journal_of, settings, titles, code, reason
):
    association = associate(receiving(**settings), **titles)
    answer = association.rejection
    assert (answer.result, answer.source, answer.reason_diagnostic) == (1, 1, code)
    (rejected,) = journal_of("rejected")
    assert reason in rejected.reason


def test_one_association_too_many_is_rejected_and_the_first_goes_on(
    receiving, associate, make_instance, journal_of
):
    receiver = receiving(maximum_associations=1)
    first = associate(receiver)
    assert associate(receiver).rejection is not None
    assert first.send_c_store(make_instance_with_meta(make_instance())).Status == 0x0000
    assert "as many associations as allowed" in journal_of("rejected")[0].reason


@pytest.mark.parametrize(
    ("elements", "status"),
    [
        ({"SeriesInstanceUID": ""}, 0xC000),
        ({"StudyInstanceUID": "../../../tmp/evil"}, 0xC000),
        ({"SeriesInstanceUID": "1." + "2" * 70}, 0xC000),
    ],
)
def test_an_unusable_uid_is_answered_with_a_failure_and_nothing_is_kept(
    receiving, associate, make_instance, spool, journal_of, elements, status
):
    association = associate(receiving())
    instance = make_instance_with_meta(make_instance(**elements))
    assert association.send_c_store(instance).Status == status
    assert list(spool.instances.rglob("*.dcm")) == []
    assert f"0x{status:04X}" in journal_of("refused")[0].reason
    good = make_instance_with_meta(make_instance())
    assert association.send_c_store(good).Status == 0x0000


def test_a_full_spool_is_answered_with_out_of_resources(
    tmp_path, free_port, associate, make_instance
):
    spool = Spool(SpoolSettings(tmp_path / "full", free_bytes_min=1 << 60))
    receiver = Receiver(
        ReceiverSettings(
            host="127.0.0.1", port=free_port(), accept=(AcceptRule("*", ("127.0.0.0/8",)),)
        ),
        spool,
    )
    receiver.start()
    try:
        association = associate(receiver)
        instance = make_instance_with_meta(make_instance())
        assert association.send_c_store(instance).Status == 0xA700
        association.release()
    finally:
        receiver.stop()


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00", b"\0" * 200])
def test_bytes_that_are_not_dicom_do_not_disturb_others(receiving, associate, make_instance, junk):
    receiver = receiving()
    with socket.create_connection(("127.0.0.1", receiver.port)) as peer:
        peer.sendall(junk)
        association = associate(receiver)
        instance = make_instance_with_meta(make_instance())
        assert association.send_c_store(instance).Status == 0x0000


def test_a_connection_that_breaks_is_noted_as_aborted_or_lost(
    receiving, associate, make_instance, spool, wait_until
):
    receiver = receiving()
    association = associate(receiver)
    association.send_c_store(make_instance_with_meta(make_instance()))
    association.dul.socket.socket.shutdown(socket.SHUT_RDWR)
    wait_until(lambda: receiver.heartbeat() == 0, "the association's end")
    text = "".join(path.read_text() for path in spool.journal.iterdir())
    assert '"aborted"' in text or '"lost"' in text
    assert '"stored": 1' in text


def test_stopping_waits_for_a_running_association_and_then_aborts_it(
    receiving, associate, journal_of
):
    receiver = receiving(drain_seconds=0.2)
    associate(receiver)
    receiver.stop()
    (aborted,) = journal_of("aborted")
    assert aborted.reason == "the receiver stopped"
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", receiver.port)) != 0


def test_who_connected_just_before_the_stop_still_gets_an_association(receiving, wait_until):
    receiver = receiving(drain_seconds=30)
    ae = AE("PACS1")
    ae.add_requested_context(CTImageStorage)
    with ThreadPoolExecutor() as pool:

        def stop_meanwhile(event):  # before the A-ASSOCIATE-RQ is sent
            wait_until(lambda: receiver._connections, "the connection to be taken")
            pool.submit(receiver.stop)
            assert receiver._stopping.wait(60)

        handlers = [(evt.EVT_CONN_OPEN, stop_meanwhile)]
        association = ae.associate(
            "127.0.0.1", receiver.port, ae_title="SAFELIGHT", evt_handlers=handlers
        )
        assert association.is_established
        association.release()


def test_a_connection_that_asks_for_nothing_holds_up_a_stop_for_a_moment_only(
    receiving, wait_until
):
    receiver = receiving(drain_seconds=60)
    with socket.create_connection(("127.0.0.1", receiver.port)) as idle:
        wait_until(lambda: receiver._connections, "the connection to be taken")
        began = time.monotonic()
        receiver.stop()
        assert time.monotonic() - began < 20
        assert idle.recv(1) == b""


def test_a_receiver_that_cannot_take_connections_any_more_is_not_alive(receiving, wait_until):
    receiver = receiving()
    (door,) = receiver._doors.values()
    for _ in range(5):  # one that is asked more often than connections are looked for
        receiver.heartbeat()
    door.listening.shutdown(socket.SHUT_RDWR)

    def is_deaf():
        try:
            receiver.heartbeat()
        except Deaf:
            return True
        return False

    wait_until(is_deaf, "the receiver to notice")


def test_a_taken_port_is_an_error_that_names_it(spool):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        receiver = Receiver(ReceiverSettings(host="127.0.0.1", port=port), spool)
        with pytest.raises(PortTaken, match=str(port)):
            receiver.start()


def test_the_acknowledgement_follows_fsync_link_and_fsync_of_the_folder(
    spool, program, free_port, tmp_path, storescu, wait_until
):
    """As the kernel saw it: strace on a receiver in a process of its own."""
    port = free_port()
    trace = tmp_path / "trace"
    script = (
        "import sys, threading; from pathlib import Path;"
        "from listener.scp import *; from listener.settings import *; from listener.spool import *;"
        f"receiver = Receiver(ReceiverSettings(host='127.0.0.1', port={port},"
        " accept=(AcceptRule('*', ('127.0.0.0/8',)),)),"
        f" Spool(SpoolSettings(Path({str(tmp_path / 'traced')!r}), 0))); receiver.start();"
        "print('listening', flush=True); sys.stdin.read(); receiver.stop()"
    )
    command = [program("strace"), "-f", "-y", "-o", str(trace), "-e"]
    command += ["trace=fsync,link,linkat,sendto", sys.executable, "-c", script]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "listening\n"
        storescu(get_testdata_file("CT_small.dcm"), port=port, called="SAFELIGHT")
    finally:
        process.stdin.close()
        process.wait(60)
        process.stdout.close()
    calls = [line.split(None, 1)[1] for line in trace.read_text().splitlines()]
    file_synced = index_of(calls, "fsync(", "/incoming/")
    linked = index_of(calls, "link", ".dcm")
    folder_synced = next(
        i
        for i, call in enumerate(calls)
        if i > linked and "fsync(" in call and "/instances/" in call
    )
    answered = next(i for i, call in enumerate(calls) if i > file_synced and "sendto(" in call)
    assert file_synced < linked < folder_synced < answered


def index_of(calls, name, path):
    return next(i for i, call in enumerate(calls) if call.startswith(name) and path in call)


def test_a_refusal_tells_the_sender_why(receiving, associate, make_instance):
    association = associate(receiving())
    instance = make_instance_with_meta(make_instance(SeriesInstanceUID=""))
    assert association.send_c_store(instance).ErrorComment == "SeriesInstanceUID is missing"


STORED_TOO = {
    "retired ultrasound": "1.2.840.10008.5.1.4.1.1.6",
    "retired nuclear medicine": "1.2.840.10008.5.1.4.1.1.5",
    "Siemens CSA": SIEMENS_CSA_NON_IMAGE,
    "Eddy current": "1.2.840.10008.5.1.4.1.1.601.1",
}


@pytest.mark.parametrize("sop_class", STORED_TOO.values(), ids=STORED_TOO)
def test_classes_that_pynetdicom_does_not_serve_are_stored_too(
    receiving, associate, make_instance, sop_class
):
    association = associate(receiving(), [sop_class])
    instance = make_instance_with_meta(make_instance(SOPClassUID=sop_class))
    assert association.send_c_store(instance).Status == 0x0000
