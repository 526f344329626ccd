"""Storage Commitment Push Model (PS3.4 Annex J): success is said only of what is there intact.

pynetdicom asks on one association and with the report on another; Orthanc asks and listens.
"""

import json
import threading
import urllib.request

import pytest
from pydicom.dataset import Dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from pynetdicom import AE, _config
from pynetdicom.events import EVT_CONN_OPEN, EVT_N_EVENT_REPORT
from pynetdicom.sop_class import StorageCommitmentPushModel, StorageCommitmentPushModelInstance

from query.association import _Checkpoint

ALL_COMMITTED, FAILURES_EXIST = 1, 2  # PS3.4 J.3.3, Event Type ID
PROCESSING_FAILURE, NO_SUCH_INSTANCE, CLASS_CONFLICT = 0x0110, 0x0112, 0x0119  # PS3.3 C.14
RULE = '[[dicom.accept]]\ncalling_ae = "%s"\naddresses = ["127.0.0.0/8"]\n'
REPORT_SECONDS = 60


class Reports:
    """The N-EVENT-REPORT requests that came, by Transaction UID."""

    def __init__(self):
        self._arrival = threading.Condition()
        self._by_transaction = {}

    def on_report(self, event):
        """Take a report, on the thread that pynetdicom gives it, and answer it with success."""
        information = event.event_information
        with self._arrival:
            came = self._by_transaction.setdefault(information.TransactionUID, [])
            came.append((event.event_type, information, threading.current_thread()))
            self._arrival.notify_all()
        return 0x0000, None

    def of(self, transaction_uid):
        """Event Type ID and Event Information of a transaction; waits until they are answered."""
        with self._arrival:
            assert self._arrival.wait_for(
                lambda: transaction_uid in self._by_transaction, REPORT_SECONDS
            ), "no report came"
            ((event_type, information, answering),) = self._by_transaction[transaction_uid]
        answering.join()
        return event_type, information


@pytest.fixture(scope="module")
def reports():
    """What is reported, on whichever association."""
    return Reports()


@pytest.fixture(scope="module")
def listening(reports):
    """A peer that takes reports on associations of Safelight; returns its port."""
    ae = AE("REMOTE")
    # The SCP of the service asks for the association, so roles are negotiated (PS3.7 D.3.3.4).
    ae.add_supported_context(StorageCommitmentPushModel, scu_role=False, scp_role=True)
    handlers = [(EVT_N_EVENT_REPORT, reports.on_report)]
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    yield server.server_address[1]
    server.shutdown()


@pytest.fixture(scope="module")
def site(serve, listening):
    """A site that reports to LOCAL on its own association, and to REMOTE on a new one."""
    return serve(
        RULE % "LOCAL"
        + RULE % "REMOTE"
        + f'report_to = "127.0.0.1:{listening}"\n'
        + RULE % "STORE_ONLY"
        + 'may = ["echo", "store"]\n'
    )


@pytest.fixture(params=["LOCAL", "REMOTE"])
def asker(request, associate):
    """An association whose reports come on itself, and one whose reports come on another."""
    return associate(request.param)


@pytest.fixture
def associate(site, reports):
    """Function that associates for storage and storage commitment."""
    opened = []

    def request(calling_ae):
        ae = AE(calling_ae)
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        ae.add_requested_context(StorageCommitmentPushModel, ExplicitVRLittleEndian)
        handlers = [
            (EVT_N_EVENT_REPORT, reports.on_report),
            (EVT_CONN_OPEN, _mend_checkpoint),
        ]
        association = ae.associate(
            "127.0.0.1", site.port, ae_title="SAFELIGHT", evt_handlers=handlers
        )
        assert association.is_established
        opened.append(association)
        return association

    yield request
    for association in opened:
        if association.is_established:
            association.release()


def _mend_checkpoint(event):
    """pynetdicom 3.0.4 may wait for ever to release after a report; its checkpoint says why."""
    event.assoc._reactor_checkpoint = _Checkpoint(event.assoc)


@pytest.fixture
def store(sample, uid_of, monkeypatch):
    """Function that stores a CT instance and returns its SOP Instance UID."""
    monkeypatch.setattr(_config, "STORE_SEND_CHUNKED_DATASET", True)

    def send(association):
        path = sample("explicit little endian")
        assert association.send_c_store(path).Status == 0x0000
        return uid_of(path)

    return send


def test_what_is_there_is_committed(asker, store, reports):
    uids = [store(asker) for _ in range(3)]
    event_type, information = reports.of(ask(asker, *uids))
    assert event_type == ALL_COMMITTED
    assert committed(information) == set(uids)
    assert failures(information) == {}


def test_what_never_came_is_not_committed(associate, store, reports):
    association = associate("LOCAL")
    uid, missing = store(association), [generate_uid() for _ in range(500)]
    event_type, information = reports.of(ask(association, *missing, uid))
    assert event_type == FAILURES_EXIST
    assert committed(information) == {uid}
    assert failures(information) == dict.fromkeys(missing, NO_SUCH_INSTANCE)


def test_a_file_that_changed_after_it_was_stored_is_never_committed(
    site, associate, store, reports
):
    association = associate("LOCAL")
    altered, intact = store(association), store(association)
    assert reports.of(ask(association, altered, intact))[0] == ALL_COMMITTED
    flip_last_byte(site.kept(altered))
    event_type, information = reports.of(ask(association, altered, intact))
    assert event_type == FAILURES_EXIST
    assert committed(information) == {intact}
    assert failures(information) == {altered: PROCESSING_FAILURE}


def test_a_file_that_is_gone_is_not_committed(site, associate, store, reports):
    association = associate("LOCAL")
    uid = store(association)
    assert reports.of(ask(association, uid))[0] == ALL_COMMITTED
    kept = site.kept(uid)
    away = kept.rename(site.folder / "away.dcm")
    event_type, information = reports.of(ask(association, uid))
    away.rename(kept)
    assert event_type == FAILURES_EXIST
    assert failures(information) == {uid: PROCESSING_FAILURE}


def test_an_instance_of_another_class_is_not_committed(asker, store, reports):
    uid = store(asker)
    event_type, information = reports.of(ask(asker, uid, sop_class=MRImageStorage))
    assert event_type == FAILURES_EXIST
    assert committed(information) == set()
    assert failures(information) == {uid: CLASS_CONFLICT}


def test_a_request_survives_the_end_of_the_process_that_verifies(
    site, asker, store, reports, wait_until
):
    uid = store(asker)
    wait_until(lambda: any_coordinator(site), "a coordinator")
    coordinator = site.coordinator()
    coordinator.suspend()
    transaction_uid = ask(asker, uid)
    coordinator.kill()
    assert reports.of(transaction_uid)[0] == ALL_COMMITTED


def no_transaction(request):
    del request.TransactionUID


def unsafe_transaction(request):
    request.TransactionUID = "../../evil"


def no_references(request):
    del request.ReferencedSOPSequence


def empty_references(request):
    request.ReferencedSOPSequence = []


def reference_without_instance(request):
    del request.ReferencedSOPSequence[0].ReferencedSOPInstanceUID


def reference_with_unsafe_instance(request):
    request.ReferencedSOPSequence[0].ReferencedSOPInstanceUID = "../1"


def bytes_instead_of_references(request):
    del request.ReferencedSOPSequence
    request.add_new(0x00081199, "OB", b"\xff\xfe\x00\xe0" * 7)


@pytest.mark.parametrize(
    "damage",
    [
        no_transaction,
        unsafe_transaction,
        no_references,
        empty_references,
        reference_without_instance,
        reference_with_unsafe_instance,
        bytes_instead_of_references,
    ],
)
def test_a_malformed_request_is_refused_and_the_next_one_served(associate, store, reports, damage):
    association = associate("LOCAL")
    uid = store(association)
    request = action_information(generate_uid(), [uid], CTImageStorage)
    damage(request)
    # PS3.7 Annex C: invalid attribute value, invalid argument value, missing attribute value
    assert act(association, request) in (0x0106, 0x0115, 0x0120, 0x0121)
    assert reports.of(ask(association, uid))[0] == ALL_COMMITTED


def test_a_request_without_action_information_is_refused(associate):
    assert act(associate("LOCAL"), None) in (0x0106, 0x0115, 0x0120, 0x0121)


def test_an_unknown_action_is_refused(associate):
    request = action_information(generate_uid(), ["1.2.3"], CTImageStorage)
    assert act(associate("LOCAL"), request, action_type=2) == 0x0123


def test_another_instance_than_the_well_known_one_is_refused(associate):
    request = action_information(generate_uid(), ["1.2.3"], CTImageStorage)
    assert act(associate("LOCAL"), request, instance="1.2.840.10008.1.20.1.2") == 0x0112


def test_who_may_only_store_gets_no_commitment(associate, store):
    association = associate("STORE_ONLY")
    (refused,) = association.rejected_contexts
    assert refused.abstract_syntax == StorageCommitmentPushModel
    assert store(association)


def test_orthanc_asks_and_is_told(serve, orthanc, sample, uid_of, wait_until):
    pacs = orthanc()
    node = serve(RULE % "ORTHANC" + f'report_to = "127.0.0.1:{pacs.dicom_port}"\n')
    call(pacs, "/modalities/SAFELIGHT", ["SAFELIGHT", "127.0.0.1", node.port], method="PUT")
    good, other = sample("explicit little endian"), sample("implicit little endian")
    held = [call(pacs, "/instances", path.read_bytes())["ID"] for path in (good, other)]
    call(pacs, "/modalities/SAFELIGHT/store", held)
    wanted = [[CTImageStorage, uid_of(good)], [CTImageStorage, uid_of(other)]]  # it is an MR
    answer = call(pacs, "/modalities/SAFELIGHT/storage-commitment", {"DicomInstances": wanted})
    wait_until(
        lambda: call(pacs, answer["Path"])["Status"] != "Pending", "the report", REPORT_SECONDS
    )
    report = call(pacs, answer["Path"])
    assert report["Status"] == "Failure"
    assert [entry["SOPInstanceUID"] for entry in report["Success"]] == [uid_of(good)]
    (failure,) = report["Failures"]
    assert (failure["SOPInstanceUID"], failure["FailureReason"]) == (uid_of(other), CLASS_CONFLICT)


def ask(association, *sop_instance_uids, sop_class=CTImageStorage):
    """Request commitment, which must be granted; return the Transaction UID."""
    transaction_uid = generate_uid()
    request = action_information(transaction_uid, sop_instance_uids, sop_class)
    assert act(association, request) == 0x0000
    return transaction_uid


def action_information(transaction_uid, sop_instance_uids, sop_class):
    """The Action Information of PS3.4 Table J.3-1."""
    request = Dataset()
    request.TransactionUID = transaction_uid
    request.ReferencedSOPSequence = []
    for uid in sop_instance_uids:
        reference = Dataset()
        reference.ReferencedSOPClassUID, reference.ReferencedSOPInstanceUID = sop_class, uid
        request.ReferencedSOPSequence.append(reference)
    return request


def act(association, request, action_type=1, instance=StorageCommitmentPushModelInstance):
    """Send an N-ACTION request and return the status."""
    status, _ = association.send_n_action(
        request, action_type, StorageCommitmentPushModel, instance
    )
    return status.Status


def committed(information):
    """The SOP Instance UIDs in the Referenced SOP Sequence."""
    return {item.ReferencedSOPInstanceUID for item in information.get("ReferencedSOPSequence", ())}


def failures(information):
    """SOP Instance UID to Failure Reason of the Failed SOP Sequence."""
    failed = information.get("FailedSOPSequence", ())
    return {item.ReferencedSOPInstanceUID: item.FailureReason for item in failed}


def flip_last_byte(path):
    with path.open("r+b") as file:
        file.seek(-1, 2)
        (last,) = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last ^ 0xFF]))


def any_coordinator(site):
    try:
        return site.coordinator()
    except StopIteration:
        return None


def call(pacs, path, body=None, method=None):
    """Ask Orthanc's REST API; `body` is JSON unless it is bytes."""
    data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
    url = f"http://127.0.0.1:{pacs.http_port}{path}"
    with urllib.request.urlopen(urllib.request.Request(url, data, method=method)) as answer:
        return json.loads(answer.read() or b"{}")
