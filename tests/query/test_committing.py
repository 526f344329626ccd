"""Storage commitment as SCU: Orthanc, which reports on a new association, and scripted PACSs.

Not covered: our own receiver as the one that is asked; tests/acceptance/interop has it from others.
"""

import threading

import pytest
from pydicom.dataset import Dataset
from pynetdicom import evt
from pynetdicom.association import Association
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.sop_class import CTImageStorage, StorageCommitmentPushModel

from listener.part10 import silence_dicom_libraries
from query.association import _Checkpoint
from query.commitment import PUSH_MODEL, WELL_KNOWN_INSTANCE
from query.committing import _Reports, request_commitment
from query.errors import PacsUnreachable, QueryFailed, ServiceNotOffered
from query.files import dicom_files
from query.send import send_files

silence_dicom_libraries()

US = "SAFELIGHT"


@pytest.fixture
def reporting(scripted_pacs):
    """Function that starts a PACS which reports on the association of the request, after it.

    It returns the settings of the PACS, and a function that returns the statuses of our responses.
    """
    threads = []

    def start(failed):
        requests, statuses = [], []

        def report(association, request):
            information = Dataset()
            information.TransactionUID = request.TransactionUID
            references = list(request.ReferencedSOPSequence)
            information.ReferencedSOPSequence = references[len(failed) :]
            for item, reason in zip(references, failed, strict=False):
                item.FailureReason = reason
            if failed:
                information.FailedSOPSequence = references[: len(failed)]
            status, _ = association.send_n_event_report(
                information, 2 if failed else 1, PUSH_MODEL, WELL_KNOWN_INSTANCE
            )
            statuses.append(status.get("Status"))

        def act(event):
            requests.append(event.action_information)
            return 0x0000, None

        def answered(event):
            if isinstance(event.pdu, P_DATA_TF) and requests:
                threads.append(threading.Thread(target=report, args=(event.assoc, requests.pop())))
                threads[-1].start()

        def use_our_checkpoint(event):
            event.assoc._reactor_checkpoint = _Checkpoint(event.assoc)

        def responses():
            for thread in threads:
                thread.join()
            return statuses

        handlers = {
            evt.EVT_N_ACTION: act,
            evt.EVT_PDU_SENT: answered,
            evt.EVT_CONN_OPEN: use_our_checkpoint,
        }
        return scripted_pacs(handlers, roles=[StorageCommitmentPushModel]), responses

    yield start
    for thread in threads:
        thread.join()


def test_a_report_on_the_same_association_says_what_is_kept_and_what_is_not(reporting, build_study):
    files, _ = dicom_files(build_study({"CT": 3}).folder)
    uids = [file.SOPInstanceUID for file in files]
    pacs, _ = reporting([0x0112])
    told = request_commitment(pacs, files, calling_ae=US, wait_seconds=10)
    assert told.committed == set(uids[1:])
    assert told.failed == {uids[0]: "it has no such instance"}
    assert told.unanswered == set()


def test_a_report_is_answered_before_the_association_is_released(
    reporting, build_study, monkeypatch
):
    released = threading.Event()
    take, release = _Reports.take, Association.release

    def take_and_be_preempted(reports, event):
        response = take(reports, event)
        released.wait(0.3)  # whoever waits for the report has it, and goes on
        return response

    def release_and_tell(association):
        release(association)
        released.set()

    monkeypatch.setattr(_Reports, "take", take_and_be_preempted)
    monkeypatch.setattr(Association, "release", release_and_tell)
    pacs, responses = reporting([])
    files, _ = dicom_files(build_study({"CT": 1}).folder)
    request_commitment(pacs, files, calling_ae=US, wait_seconds=10)
    assert responses() == [0x0000]


def test_without_a_report_nothing_is_called_committed(scripted_pacs, build_study):
    pacs = scripted_pacs(
        {evt.EVT_N_ACTION: lambda _: (0x0000, None)}, services=[StorageCommitmentPushModel]
    )
    files, _ = dicom_files(build_study({"CT": 2}).folder)
    told = request_commitment(pacs, files, calling_ae=US, wait_seconds=0.2)
    assert told.committed == set()
    assert told.unanswered == {file.SOPInstanceUID for file in files}


def test_a_refused_request_is_an_error_with_its_meaning(scripted_pacs, build_study):
    pacs = scripted_pacs(
        {evt.EVT_N_ACTION: lambda _: (0x0213, None)}, services=[StorageCommitmentPushModel]
    )
    files, _ = dicom_files(build_study({"CT": 1}).folder)
    with pytest.raises(QueryFailed, match="0x0213, resource limitation"):
        request_commitment(pacs, files, calling_ae=US, wait_seconds=1)


def test_a_pacs_that_commits_to_nothing_is_named(scripted_pacs, build_study):
    files, _ = dicom_files(build_study({"CT": 1}).folder)
    with pytest.raises(ServiceNotOffered):
        request_commitment(
            scripted_pacs(services=[CTImageStorage]), files, calling_ae=US, wait_seconds=1
        )


def test_orthanc_reports_on_an_association_of_its_own(orthanc, build_study, settings, free_port):
    port = free_port()
    pacs = orthanc(modalities={US: ("127.0.0.1", port)})
    where = settings(pacs.dicom_port, "ORTHANC")
    files, _ = dicom_files(build_study({"CT": 3}).folder)
    assert send_files(files[:2], where, calling_ae=US).accepted == 2
    told = request_commitment(where, files, calling_ae=US, wait_seconds=20, report_port=port)
    assert told.committed == {file.SOPInstanceUID for file in files[:2]}
    assert set(told.failed) == {files[2].SOPInstanceUID}


def test_a_port_that_is_taken_is_told(settings, build_study, listening_socket):
    files, _ = dicom_files(build_study({"CT": 1}).folder)
    taken = listening_socket.getsockname()[1]
    with pytest.raises(PacsUnreachable, match="cannot be listened at"):
        request_commitment(settings(taken), files, calling_ae=US, wait_seconds=1, report_port=taken)
