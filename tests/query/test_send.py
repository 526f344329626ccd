"""Sending files, to DCMTK's storescp. Sending to our own listener: tests/acceptance."""

import threading
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pynetdicom import evt
from pynetdicom.sop_class import CTImageStorage, MRImageStorage

from listener.part10 import silence_dicom_libraries
from query.files import dicom_files
from query.send import send_files
from query.sent import SendPolicy

silence_dicom_libraries()

SYNTAXES = [
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "MR_small_jp2klossless.dcm",
    "rtplan.dcm",  # its file meta names another instance than its dataset
]


@pytest.fixture
def samples(tmp_path):
    """A folder of files in several transfer syntaxes, each instance under a UID of its own."""
    folder = tmp_path / "samples"
    folder.mkdir()
    for number, name in enumerate(SYNTAXES):
        dataset = pydicom.dcmread(get_testdata_file(name))
        dataset.SOPInstanceUID = f"1.2.826.{number}"
        if name != "rtplan.dcm":
            dataset.file_meta.MediaStorageSOPInstanceUID = f"1.2.826.{number}"
        dataset.save_as(folder / name)
    return folder


def test_each_file_arrives_in_its_own_transfer_syntax(samples, dcmtk_storescp, settings):
    receiver = dcmtk_storescp()
    files, skipped = dicom_files(samples)
    seen = []
    outcome = send_files(
        files, settings(receiver.port, "STORESCP"), calling_ae="US", on_sent=seen.append
    )
    assert skipped == 0
    assert outcome.accepted == len(seen) == len(SYNTAXES)
    assert receiver.received() == sorted(f"1.2.826.{n}" for n in range(len(SYNTAXES)))
    sent = {str(pydicom.dcmread(p).file_meta.TransferSyntaxUID) for p in samples.iterdir()}
    got = {pydicom.dcmread(p).file_meta.TransferSyntaxUID for p in receiver.folder.iterdir()}
    assert got == sent


def test_what_is_not_dicom_is_counted_and_left_out(tmp_path):
    (tmp_path / "notes.txt").write_text("no DICOM")
    (tmp_path / "empty.dcm").touch()
    (tmp_path / "ct").write_bytes(Path(get_testdata_file("CT_small.dcm")).read_bytes())
    (tmp_path / "DICOMDIR").write_bytes(Path(get_testdata_file("DICOMDIR")).read_bytes())
    files, skipped = dicom_files(tmp_path)
    assert [file.path.name for file in files] == ["ct"]
    assert skipped == 3


def test_one_file_can_be_sent_by_its_name(tmp_path):
    path = Path(get_testdata_file("CT_small.dcm"))
    assert [file.path for file in dicom_files(path)[0]] == [path]


def test_more_contexts_than_one_association_can_have_make_several(scripted_pacs, tmp_path):
    contexts = []

    def count(event):
        contexts.append(len(event.assoc.requestor.primitive.presentation_context_definition_list))

    receiver = scripted_pacs(
        {evt.EVT_C_STORE: lambda _: 0x0000, evt.EVT_REQUESTED: count}, services=[CTImageStorage]
    )
    dataset = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
    dataset.save_as(tmp_path / "known")
    for number in range(150):
        dataset.SOPClassUID = f"1.2.3.{number}"
        dataset.save_as(tmp_path / f"unknown{number}")
    outcome = send_files(dicom_files(tmp_path)[0], receiver, calling_ae="US")
    assert contexts == [128, 23]
    assert len(outcome.sent) == 151
    assert outcome.accepted == 1
    assert all("does not take SOP class 1.2.3." in reason for reason in outcome.refusals())


def test_a_refusal_is_told_with_the_receivers_own_words(scripted_pacs):
    def refuse(_event):
        response = pydicom.Dataset()
        response.Status, response.ErrorComment = 0xA700, "no space"
        return response

    receiver = scripted_pacs({evt.EVT_C_STORE: refuse}, services=[CTImageStorage])
    files, _ = dicom_files(Path(get_testdata_file("CT_small.dcm")))
    outcome = send_files(files, receiver, calling_ae="US")
    assert outcome.accepted == 0
    (reason,) = outcome.refusals()
    assert reason.startswith("0xA700, out of resources: ")
    assert reason.endswith('it says "no space"')


def test_an_association_that_ends_early_is_told_of_each_instance(scripted_pacs, build_study):
    receiver = scripted_pacs(
        {evt.EVT_C_STORE: lambda event: event.assoc.abort() or 0x0000}, services=[CTImageStorage]
    )
    files, _ = dicom_files(build_study({"CT": 3}).folder)
    outcome = send_files(files, receiver, calling_ae="US")
    assert sorted(one.file.path for one in outcome.sent) == [file.path for file in files]
    (reason,) = outcome.refusals()
    assert "before its C-STORE response was complete" in reason


def test_what_an_association_left_open_is_sent_again_and_the_rest_only_once(
    scripted_pacs, build_study
):
    stored, waits = [], []

    def store(event):
        stored.append(event.request.AffectedSOPInstanceUID)
        if len(stored) == 2:
            event.assoc.abort()
        return 0x0000

    receiver = scripted_pacs({evt.EVT_C_STORE: store}, services=[CTImageStorage])
    study = build_study({"CT": 4})
    files, _ = dicom_files(study.folder)
    outcome = send_files(
        files, receiver, calling_ae="US", policy=SendPolicy(tries=3, wait=waits.append)
    )
    assert outcome.accepted == len(outcome.sent) == 4
    assert waits == [5.0]
    assert stored == [*(f.SOPInstanceUID for f in files), files[1].SOPInstanceUID]


def test_only_what_may_succeed_later_is_tried_again(scripted_pacs, build_study):
    answers = iter([0xA700, 0xA900, 0xB000, 0xA701, 0xA702])
    asked, waits = [], []

    def store(event):
        asked.append(str(event.request.AffectedSOPInstanceUID))
        return next(answers)

    receiver = scripted_pacs({evt.EVT_C_STORE: store}, services=[CTImageStorage])
    files, _ = dicom_files(build_study({"CT": 3}).folder)
    policy = SendPolicy(tries=3, retry_seconds=1, wait=waits.append)
    outcome = send_files(files, receiver, calling_ae="US", policy=policy)
    uids = [file.SOPInstanceUID for file in files]
    assert asked == [*uids, uids[0], uids[0]]
    assert waits == [1.0, 2.0]
    by_uid = {one.file.SOPInstanceUID: one for one in outcome.sent}
    assert [by_uid[uid].status for uid in uids] == [0xA702, 0xA900, 0xB000]
    assert [by_uid[uid].accepted for uid in uids] == [False, False, True]
    assert len(outcome.warnings()) == 1


def test_a_receiver_that_does_not_answer_is_told(scripted_pacs):
    answering = threading.Event()
    receiver = scripted_pacs(
        {evt.EVT_C_STORE: lambda _: answering.wait(30) and 0x0000},
        services=[CTImageStorage],
        response_seconds=0.5,
    )
    files, _ = dicom_files(Path(get_testdata_file("CT_small.dcm")))
    try:
        (sent,) = send_files(files, receiver, calling_ae="US").sent
    finally:
        answering.set()
    assert "did not answer the C-STORE" in sent.reason
    assert sent.is_retriable


def test_nobody_there_is_told_with_a_remedy(settings, free_port):
    files, _ = dicom_files(Path(get_testdata_file("CT_small.dcm")))
    (sent,) = send_files(files, settings(free_port()), calling_ae="US").sent
    assert "check host and port" in sent.reason


@pytest.mark.parametrize("name", ["MR_small_RLE.dcm", "MR_small_jp2klossless.dcm"])
def test_what_is_not_taken_compressed_arrives_with_the_same_pixels_if_we_may_decompress(
    scripted_pacs, name
):
    got = []

    def store(event):
        dataset = event.dataset
        dataset.file_meta = event.file_meta
        got.append(dataset)
        return 0x0000

    receiver = scripted_pacs({evt.EVT_C_STORE: store}, services=[MRImageStorage])
    files, _ = dicom_files(Path(get_testdata_file(name)))
    refused = send_files(files, receiver, calling_ae="US")
    assert refused.accepted == 0
    assert f"in transfer syntax {files[0].TransferSyntaxUID}" in next(iter(refused.refusals()))
    policy = SendPolicy(decompress=True)
    assert send_files(files, receiver, calling_ae="US", policy=policy).accepted == 1
    (dataset,) = got
    original = pydicom.dcmread(files[0].path)
    assert original.SOPInstanceUID == dataset.SOPInstanceUID
    assert (dataset.pixel_array == original.pixel_array).all()


def test_a_file_that_is_gone_is_refused_and_the_others_arrive(scripted_pacs, build_study):
    receiver = scripted_pacs({evt.EVT_C_STORE: lambda _: 0x0000}, services=[CTImageStorage])
    files, _ = dicom_files(build_study({"CT": 3}).folder)
    files[1].path.unlink()
    outcome = send_files(files, receiver, calling_ae="US")
    assert [one.accepted for one in outcome.sent] == [True, False, True]
