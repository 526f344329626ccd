"""The client against PACSs that misbehave: each follows a script, over a real socket.

Not covered: a PACS that sends pending C-MOVE responses for ever; only an overall deadline ends it.
"""

import logging
import threading
import time
from contextlib import suppress
from io import BytesIO

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, JPEGLosslessSV1
from pynetdicom import AllStoragePresentationContexts, evt
from pynetdicom.dimse_primitives import C_MOVE
from pynetdicom.dsutils import decode, encode
from pynetdicom.pdu import P_DATA_TF
from pynetdicom.presentation import build_context
from pynetdicom.service_class import QueryRetrieveServiceClass

import query.get
import query.move
from query.association import _Checkpoint, associated
from query.client import (
    StudyRootFind,
    Verification,
    echo,
    find_instances,
    find_series,
    find_studies,
)
from query.errors import (
    AssociationAborted,
    AssociationRejected,
    InvalidKey,
    PacsTimeout,
    PacsUnreachable,
    QueryError,
    QueryFailed,
    RetrieveRefused,
    ServiceNotOffered,
)
from query.get import classes_of, contexts_for
from query.identifiers import Selection
from query.keys import StudyCriteria, Wildcard
from query.move import Destination
from query.outcomes import RetrieveProgress
from query.settings import PacsSettings

US = {"calling_ae": "SAFELIGHT"}
STUDY_UID = "1.2.826.0.1.3680043.9.1"
SERIES_UID = "1.2.826.0.1.3680043.9.2"
HERE = Destination("SAFELIGHT", "10.1.2.9", 11112)
_COUNTERS = ("Remaining", "Completed", "Failed", "Warning")
BY_PATIENT = StudyCriteria(patient_id="P0042")


def move(pacs, **more):
    """Ask for one study, and return the outcome or raise the refusal."""
    (outcome,) = query.move.move(pacs, [Selection(STUDY_UID)], HERE, **US, **more)
    outcome.require_performed()
    return outcome


@pytest.fixture
def find_answers(scripted_pacs, answer):
    """Function that starts a PACS giving these C-FIND answers, and remembers the question."""

    def start(*answers, final=0x0000, pending=0xFF00, asked=None, **limits):
        def handle(event):
            if asked is not None:
                asked.append(event.identifier)
            for values in answers:
                yield pending, answer(**values)
            yield final, None

        return scripted_pacs({evt.EVT_C_FIND: handle}, **limits)

    return start


# Finding


def test_every_key_is_asked_for_and_the_character_set_too(find_answers):
    asked = []
    find_studies(find_answers(asked=asked), BY_PATIENT, **US)

    (identifier,) = asked
    assert identifier.PatientID == "P0042"
    assert identifier.QueryRetrieveLevel == "STUDY"
    assert "SpecificCharacterSet" in identifier
    assert {element.keyword for element in identifier} >= {
        "StudyInstanceUID",
        "StudyDate",
        "StudyTime",
        "AccessionNumber",
        "ModalitiesInStudy",
        "StudyDescription",
        "PatientName",
        "PatientSex",
        "PatientBirthDate",
        "NumberOfStudyRelatedSeries",
        "NumberOfStudyRelatedInstances",
    }


def test_blank_absent_and_ill_formed_counts_are_unknown(find_answers):
    common = {"PatientID": "P0042"}
    pacs = find_answers(
        {**common, "StudyInstanceUID": "1.2.1", "NumberOfStudyRelatedInstances": b""},
        {**common, "StudyInstanceUID": "1.2.2"},
        {**common, "StudyInstanceUID": "1.2.3", "NumberOfStudyRelatedInstances": b"many"},
        {**common, "StudyInstanceUID": "1.2.4", "NumberOfStudyRelatedInstances": b"12"},
    )

    found = find_studies(pacs, BY_PATIENT, **US)

    counts = [study.NumberOfStudyRelatedInstances for study in found.studies]
    assert counts == [None, None, None, 12]
    assert [study.NumberOfStudyRelatedSeries for study in found.studies] == [None] * 4


def test_answers_that_do_not_meet_the_criteria_are_dropped_and_counted(find_answers):
    pacs = find_answers(
        {"StudyInstanceUID": "1.2.1", "PatientID": "P0042", "ModalitiesInStudy": ["CT", "SR"]},
        {"StudyInstanceUID": "1.2.2", "PatientID": "P0042", "ModalitiesInStudy": "MR"},
        {"StudyInstanceUID": "1.2.3", "PatientID": "P0042"},
        {"StudyInstanceUID": "1.2.4", "PatientID": "P9999", "ModalitiesInStudy": "CT"},
        {"StudyInstanceUID": b"../../etc", "PatientID": "P0042", "ModalitiesInStudy": "CT"},
        {"PatientID": "P0042", "ModalitiesInStudy": "CT"},
        pending=0xFF01,
    )

    found = find_studies(pacs, StudyCriteria(patient_id="P0042", modality="CT"), **US)

    assert [study.StudyInstanceUID for study in found.studies] == ["1.2.1", "1.2.3"]
    assert found.studies[1].ModalitiesInStudy == ()
    assert found.dropped == 4


@pytest.mark.parametrize(
    ("charset", "raw", "expected"),
    [
        # PS3.5 Annex K, J, I and H.3.1, to the byte.
        (
            rb"\ISO 2022 IR 58",
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab=",
            "Zhang^XiaoDong=张^小东=",
        ),
        (b"GB18030", b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab=", "Wang^XiaoDong=王^小东="),
        (
            rb"\ISO 2022 IR 149",
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        (
            rb"\ISO 2022 IR 87",
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        (b"ISO_IR 192", "Müller^Jörg".encode(), "Müller^Jörg"),
        (b"", b"Sample^Patient", "Sample^Patient"),
    ],
)
def test_names_are_decoded_by_the_character_set_of_the_answer(find_answers, charset, raw, expected):
    pacs = find_answers(
        {
            "SpecificCharacterSet": charset,
            "StudyInstanceUID": "1.2.1",
            "PatientID": "P0042",
            "PatientName": raw,
        }
    )

    (study,) = find_studies(pacs, BY_PATIENT, **US).studies

    assert study.PatientName == expected


def test_an_answer_over_the_limit_cancels_the_rest(scripted_pacs, answer):
    cancelled = threading.Event()

    def endless(event):
        while not event.is_cancelled:
            yield 0xFF00, answer(StudyInstanceUID="1.2.3", PatientID="P0042")
        cancelled.set()
        yield 0xFE00, None

    pacs = scripted_pacs({evt.EVT_C_FIND: endless}, max_results=7)

    found = find_studies(pacs, BY_PATIENT, **US)

    assert cancelled.wait(60)
    assert found.truncated
    assert len(found.studies) == 7


def test_exactly_as_many_answers_as_the_limit_are_not_truncated(find_answers):
    answers = [{"StudyInstanceUID": f"1.2.{n}", "PatientID": "P0042"} for n in range(1, 4)]

    found = find_studies(find_answers(*answers, max_results=3), BY_PATIENT, **US)

    assert len(found.studies) == 3
    assert not found.truncated


def test_a_pacs_that_ignores_the_cancel_is_cut_off(scripted_pacs, answer):
    ended = threading.Event()

    def deaf(event):
        try:
            while not event.assoc.acse.is_aborted():
                yield 0xFF00, answer(StudyInstanceUID="1.2.3", PatientID="P0042")
        finally:  # pynetdicom may notice the abort first, and not ask for another answer
            ended.set()

    pacs = scripted_pacs({evt.EVT_C_FIND: deaf}, max_results=3, cancel_seconds=0.3)

    found = find_studies(pacs, BY_PATIENT, **US)

    assert (len(found.studies), found.truncated) == (3, True)
    assert ended.wait(60)


def test_more_series_than_the_limit_are_an_error_not_a_short_list(find_answers):
    answers = [{"SeriesInstanceUID": f"1.2.{n}"} for n in range(1, 5)]

    with pytest.raises(QueryFailed, match=r"more than 3 series.*raise max_results"):
        find_series(find_answers(*answers, max_results=3), STUDY_UID, **US)


def test_series_of_another_study_or_modality_are_left_out(find_answers):
    pacs = find_answers(
        {"StudyInstanceUID": STUDY_UID, "SeriesInstanceUID": "1.2.1", "Modality": "CT"},
        {"StudyInstanceUID": "1.9", "SeriesInstanceUID": "1.2.2", "Modality": "CT"},
        {"StudyInstanceUID": STUDY_UID, "SeriesInstanceUID": "1.2.3", "Modality": "MR"},
        {"SeriesInstanceUID": "1.2.4", "Modality": "CT"},
    )

    series = find_series(pacs, STUDY_UID, modality="CT", **US)

    assert [one.SeriesInstanceUID for one in series] == ["1.2.1", "1.2.4"]


def test_the_instances_of_a_series_are_listed_once_each_and_of_no_other_series(find_answers):
    asked = []
    pacs = find_answers(
        {"SOPInstanceUID": "1.2.1", "SOPClassUID": "1.2.9", "InstanceNumber": b"2 "},
        {"SOPInstanceUID": "1.2.1"},
        {"SOPInstanceUID": "1.2.2", "SeriesInstanceUID": SERIES_UID},
        {"SOPInstanceUID": "1.2.3", "SeriesInstanceUID": "1.9"},
        asked=asked,
    )

    found = find_instances(pacs, STUDY_UID, SERIES_UID, **US)

    assert [one.SOPInstanceUID for one in found] == ["1.2.1", "1.2.2"]
    assert asked[0].QueryRetrieveLevel == "IMAGE"
    assert (asked[0].StudyInstanceUID, asked[0].SeriesInstanceUID) == (STUDY_UID, SERIES_UID)
    assert "ImageType" not in asked[0]


def test_the_image_type_is_asked_for_only_on_request(find_answers):
    asked = []
    pacs = find_answers({"SOPInstanceUID": "1.2.1", "ImageType": ["DERIVED", "MPR"]}, asked=asked)

    (found,) = find_instances(pacs, STUDY_UID, SERIES_UID, image_type=True, **US)

    assert found.ImageType == ("DERIVED", "MPR")
    assert "ImageType" in asked[0]


def test_a_list_with_something_that_is_no_instance_proves_nothing(find_answers):
    pacs = find_answers({"SOPInstanceUID": "1.2.1"}, {"SOPInstanceUID": b"../../etc"})

    with pytest.raises(QueryFailed, match="in a way that proves nothing"):
        find_instances(pacs, STUDY_UID, SERIES_UID, **US)


def test_a_patient_name_is_met_by_any_of_its_groups(find_answers):
    pacs = find_answers(
        {"StudyInstanceUID": "1.2.1", "PatientName": b"DOE^JANE"},
        {"StudyInstanceUID": "1.2.2", "PatientName": b"Doe^Jane=D^J="},
        {"StudyInstanceUID": "1.2.3", "PatientName": b"Doe^John"},
    )

    found = find_studies(pacs, StudyCriteria(patient_name="Doe^Jane"), **US)

    assert [study.StudyInstanceUID for study in found.studies] == ["1.2.1", "1.2.2"]


@pytest.mark.parametrize(
    ("status", "words"),
    [(0xA700, "out of resources"), (0xA900, "identifier"), (0xC001, "unable to process")],
)
def test_a_failed_query_says_what_the_status_means(find_answers, status, words):
    with pytest.raises(QueryFailed, match=f"C-FIND failed at PACS1 .*{words}.*: ") as failed:
        find_studies(find_answers(final=status), BY_PATIENT, **US)

    assert failed.value.status == status


def test_a_search_without_criteria_or_with_a_wildcard_in_a_uid_is_never_sent(find_answers):
    asked = []
    pacs = find_answers(asked=asked)

    with pytest.raises(InvalidKey):
        find_series(pacs, "1.2.*", **US)
    with pytest.raises(InvalidKey):
        find_series(pacs, STUDY_UID, modality="C?", **US)

    assert asked == []


# Associations


@pytest.mark.parametrize("ask", [echo, lambda pacs, **us: find_studies(pacs, BY_PATIENT, **us)])
def test_an_unknown_calling_ae_title_is_rejected_with_the_remedy(scripted_pacs, ask):
    pacs = scripted_pacs(ae={"require_calling_aet": ["OTHER"]})

    with pytest.raises(AssociationRejected) as rejected:
        ask(pacs, **US)

    message = str(rejected.value)
    assert "PACS1" in message
    assert "calling AE title not recognised" in message
    assert "1/1/3" in message
    assert "add our AE title SAFELIGHT" in message


def test_a_pacs_without_the_service_is_told_apart_from_one_that_rejects(scripted_pacs):
    pacs = scripted_pacs(services=[Verification, StudyRootFind])
    echo(pacs, **US)

    with pytest.raises(ServiceNotOffered, match=r"PACS1 .*Study Root .* MOVE.*for SAFELIGHT"):
        move(pacs)


def test_nothing_listening_is_unreachable(settings, free_port):
    with pytest.raises(
        PacsUnreachable, match=r'PACS1 at 127.0.0.1:\d+: connection refused.*"main"'
    ):
        echo(settings(free_port()), **US)


def test_an_unknown_host_name_is_unreachable():
    with pytest.raises(PacsUnreachable, match="host name not resolved"):
        echo(PacsSettings("main", "PACS1", "no-such-host.invalid", 104), **US)


def test_a_silent_peer_is_a_timeout(listening_socket, settings):
    pacs = settings(listening_socket.getsockname()[1], response_seconds=0.5)

    with pytest.raises(PacsTimeout, match=r"within 0.5 s; is it a DICOM port\?"):
        echo(pacs, **US)


def test_a_peer_that_stops_inside_a_pdu_is_a_timeout(listening_socket, settings):
    connections = []

    def stall():
        connection, _ = listening_socket.accept()
        connection.recv(1)
        connection.sendall(b"\x02\x00\x00")  # half the header of an A-ASSOCIATE-AC
        connections.append(connection)

    thread = threading.Thread(target=stall)
    thread.start()
    pacs = settings(listening_socket.getsockname()[1], response_seconds=0.5)

    with pytest.raises(PacsTimeout):
        echo(pacs, **US)

    thread.join()
    connections[0].close()


def test_a_peer_that_drips_a_byte_at_a_time_is_a_timeout(listening_socket, settings):
    def drip():
        connection, _ = listening_socket.accept()
        with connection, suppress(OSError):
            connection.sendall(b"\x02\x00\x7f\xff\xff\xff")  # an A-ASSOCIATE-AC of 2 GiB
            while True:
                connection.sendall(b"\x00")
                time.sleep(0.05)

    thread = threading.Thread(target=drip)
    thread.start()
    pacs = settings(listening_socket.getsockname()[1], response_seconds=0.5)

    with pytest.raises(PacsTimeout):
        echo(pacs, **US)

    thread.join(60)
    assert not thread.is_alive()


def test_a_peer_that_hangs_up_is_an_abort_that_hints_at_the_ae_title(listening_socket, settings):
    def hang_up():
        connection, _ = listening_socket.accept()
        connection.close()

    thread = threading.Thread(target=hang_up)
    thread.start()

    with pytest.raises(AssociationAborted, match="AE title SAFELIGHT"):
        echo(settings(listening_socket.getsockname()[1]), **US)

    thread.join()


def test_a_pacs_that_aborts_mid_find_is_an_error_not_a_short_list(scripted_pacs, answer):
    def abort(event):
        yield 0xFF00, answer(StudyInstanceUID="1.2.3", PatientID="P0042")
        event.assoc.abort()

    with pytest.raises(AssociationAborted, match="C-FIND"):
        find_studies(scripted_pacs({evt.EVT_C_FIND: abort}), BY_PATIENT, **US)


def test_a_pacs_that_falls_silent_mid_find_is_a_timeout(scripted_pacs, answer):
    released, sent = threading.Event(), threading.Semaphore(0)

    def stall(event):
        yield 0xFF00, answer(StudyInstanceUID="1.2.3", PatientID="P0042")
        assert sent.acquire(timeout=60)  # the command of the response, and
        assert sent.acquire(timeout=60)  # its identifier
        event.assoc.dul.socket.socket.sendall(b"\x04\x00\x00")  # half the header of a P-DATA-TF
        released.wait(60)

    def count(event):
        if isinstance(event.pdu, P_DATA_TF):
            sent.release()

    handlers = {evt.EVT_C_FIND: stall, evt.EVT_PDU_SENT: count}
    pacs = scripted_pacs(handlers, response_seconds=0.5)

    started = time.monotonic()
    with pytest.raises(PacsTimeout, match=r"did not answer the C-FIND within 0.5 s"):
        find_studies(pacs, BY_PATIENT, **US)
    assert time.monotonic() - started < 55

    released.set()


def test_a_pacs_that_refuses_an_echo_says_why(scripted_pacs):
    pacs = scripted_pacs({evt.EVT_C_ECHO: lambda _event: 0x0122})

    with pytest.raises(QueryFailed, match=r"C-ECHO failed at PACS1 .0x0122, SOP class not supp"):
        echo(pacs, **US)


# Moving


@pytest.fixture
def moving_pacs(scripted_pacs, answer, monkeypatch):
    """Function that starts a PACS giving these C-MOVE responses: (status, counts, failed UIDs).

    The counts are (remaining, completed, failed, warnings), None for one left out. pynetdicom's
    own C-MOVE service insists on storing and counts right; this one only talks.
    """

    def start(*responses, asked=None, **limits):
        def talk(service, request, context):
            if asked is not None:
                asked.append(request)
            for status, counts, failed_uids in responses:
                response = C_MOVE()
                response.MessageIDBeingRespondedTo = request.MessageID
                response.AffectedSOPClassUID = request.AffectedSOPClassUID
                response.Status = status
                for name, count in zip(_COUNTERS, counts, strict=True):
                    setattr(response, f"NumberOf{name}Suboperations", count)
                if failed_uids:
                    identifier = answer(FailedSOPInstanceUIDList=failed_uids)
                    response.Identifier = BytesIO(encode(identifier, True, True))
                service.dimse.send_msg(response, context.context_id)

        monkeypatch.setattr(QueryRetrieveServiceClass, "_move_scp", talk)
        return scripted_pacs(**limits)

    return start


NO_COUNTS = (None, None, None, None)


def test_an_unknown_destination_names_what_the_administrator_must_enter(moving_pacs):
    with pytest.raises(RetrieveRefused) as refused:
        move(moving_pacs((0xA801, NO_COUNTS, ())))

    assert str(refused.value) == (
        "C-MOVE refused by PACS1 (0xA801, destination unknown): "
        "its administrator must add AE title SAFELIGHT, host 10.1.2.9, port 11112"
    )
    assert refused.value.status == 0xA801


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (0xA701, "unable to calculate the number of matches"),
        (
            0xA702,
            "unable to perform sub-operations.*connect to AE title SAFELIGHT at 10.1.2.9:11112",
        ),
        (0xA900, "identifier does not match SOP class"),
        (0xC123, "unable to process"),
        (0x0124, "not authorised.*AE title SAFELIGHT"),
        (0x0777, "a status the standard does not define"),
    ],
)
def test_every_other_refusal_says_what_its_status_means(moving_pacs, status, words):
    with pytest.raises(RetrieveRefused, match=f"0x{status:04X}, .*{words}") as refused:
        move(moving_pacs((status, NO_COUNTS, ())))

    assert refused.value.status == status


def test_a_partial_move_reports_the_instances_that_failed(moving_pacs):
    pacs = moving_pacs(
        (0xFF00, (2, 1, 0, 0), ()),
        (0xB000, (None, 1, 2, 0), ["1.2.8", "1.2.9"]),
    )

    outcome = move(pacs)

    assert outcome.is_partial
    assert (outcome.completed, outcome.failed, outcome.remaining) == (1, 2, 0)
    assert outcome.failed_sop_uids == ("1.2.8", "1.2.9")
    assert str(outcome) == (
        "1 instances sent, 2 failed, 0 not tried "
        "(0xB000, sub-operations complete, one or more failures)"
    )


def test_a_partial_move_without_a_list_of_failures_is_partial_all_the_same(moving_pacs):
    outcome = move(moving_pacs((0xB000, (0, 3, 1, 0), ())))

    assert outcome.is_partial
    assert outcome.failed_sop_uids == ()


def test_success_with_failures_is_partial(moving_pacs):
    outcome = move(moving_pacs((0x0000, (0, 3, 1, 0), ())))

    assert outcome.status == 0
    assert outcome.is_partial


def test_a_move_stopped_at_the_pacs_is_partial(moving_pacs):
    outcome = move(moving_pacs((0xFE00, (4, 1, 0, 0), ())))

    assert outcome.is_partial
    assert outcome.remaining == 4


def test_instances_stored_with_a_warning_count_as_sent(moving_pacs):
    outcome = move(moving_pacs((0x0000, (None, 3, 0, 2), ())))

    assert not outcome.is_partial
    assert outcome.sent == 5


def test_success_that_moved_nothing_says_so(moving_pacs):
    outcome = move(moving_pacs((0x0000, NO_COUNTS, ())))

    assert (outcome.sent, outcome.is_partial) == (0, False)
    assert str(outcome) == "0 instances sent, 0 failed, 0 not tried"


def test_progress_is_told_as_the_pacs_gives_it(moving_pacs):
    asked, progress = [], []
    pacs = moving_pacs(
        (0xFF00, (2, 0, 0, 0), ()),
        (0xFF00, NO_COUNTS, ()),
        (0x0000, (None, 2, 0, 0), ()),
        asked=asked,
    )

    move(pacs, on_progress=progress.append)

    assert progress == [RetrieveProgress(2, 0, 0, 0), RetrieveProgress(None, None, None, None)]
    assert asked[0].MoveDestination == "SAFELIGHT"


def test_an_exception_in_the_progress_callback_aborts_the_association(moving_pacs):
    aborted = threading.Event()
    pacs = moving_pacs(
        (0xFF00, (2, 0, 0, 0), ()),
        handlers={evt.EVT_ABORTED: lambda _event: aborted.set()},
    )

    def stop(_progress):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        move(pacs, on_progress=stop)

    assert aborted.wait(60)


def test_a_pacs_that_falls_silent_mid_move_is_a_timeout(moving_pacs):
    pacs = moving_pacs((0xFF00, (2, 0, 0, 0), ()), move_seconds=0.5)

    with pytest.raises(PacsTimeout, match=r"did not answer the C-MOVE within 0.5 s"):
        move(pacs)


def test_several_selections_go_over_one_association_each_with_its_own_outcome(moving_pacs):
    asked = []
    pacs = moving_pacs((0xB000, (0, 0, 1, 0), ()), asked=asked)
    selections = [Selection(STUDY_UID, SERIES_UID, f"1.2.{n}") for n in range(3)]

    outcomes = list(query.move.move(pacs, selections, HERE, **US))

    assert [outcome.failed for outcome in outcomes] == [1, 1, 1]
    assert len(asked) == 3


# Getting


@pytest.fixture
def getting_pacs(scripted_pacs):
    """Function that starts a PACS whose C-GET sends these datasets."""

    def start(*datasets, **more):
        def handle(_event):
            yield len(datasets)
            for dataset in datasets:
                yield 0xFF00, dataset

        return scripted_pacs({evt.EVT_C_GET: handle}, **more)

    return start


def storage_dataset(number):
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.SOPClassUID, dataset.SOPInstanceUID = CTImageStorage, f"1.2.3.{number}"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = STUDY_UID, SERIES_UID
    return dataset


def get(pacs, keep, sop_classes=(CTImageStorage,)):
    (outcome,) = query.get.get(pacs, [Selection(STUDY_UID)], sop_classes, keep, **US)
    outcome.require_performed()
    return outcome


def test_what_is_got_comes_encoded_as_it_was_sent(getting_pacs):
    kept = []
    pacs = getting_pacs(storage_dataset(1), storage_dataset(2), roles=[CTImageStorage])

    outcome = get(pacs, lambda one: kept.append((one, bytes(one.dataset))) or (0x0000, ""))

    assert (outcome.sent, outcome.is_partial) == (2, False)
    assert [one.SOPInstanceUID for one, _ in kept] == ["1.2.3.1", "1.2.3.2"]
    assert {one.SOPClassUID for one, _ in kept} == {CTImageStorage}
    for one, encoded in kept:
        syntax = UID(one.transfer_syntax_uid)
        read = decode(BytesIO(encoded), syntax.is_implicit_VR, syntax.is_little_endian)
        assert read.SOPInstanceUID == one.SOPInstanceUID


def test_what_is_not_kept_is_refused_and_the_outcome_is_partial(getting_pacs):
    pacs = getting_pacs(storage_dataset(1), storage_dataset(2), roles=[CTImageStorage])
    answers = {"1.2.3.1": (0xA700, "spool: no space"), "1.2.3.2": (0x0000, "")}

    outcome = get(pacs, lambda one: answers[one.SOPInstanceUID])

    assert (outcome.status, outcome.sent, outcome.failed) == (0xB000, 1, 1)
    assert outcome.failed_sop_uids == ("1.2.3.1",)


def test_a_refused_get_says_what_the_status_means(scripted_pacs):
    def refuse(_event):
        yield 1
        yield 0xA702, None

    with pytest.raises(RetrieveRefused, match=r"C-GET refused by PACS1 .0xA702, .*try again later"):
        get(scripted_pacs({evt.EVT_C_GET: refuse}), lambda _one: (0x0000, ""))


def test_no_more_contexts_are_proposed_than_an_association_can_have():
    every = [context.abstract_syntax for context in AllStoragePresentationContexts]
    some = contexts_for(classes_of(["CT", "MR", "US"]))

    assert len(contexts_for(every)) == 127
    assert len(some) <= 127
    assert {context.abstract_syntax for context in some} == set(classes_of(["CT", "MR", "US"]))


def test_each_compressed_syntax_has_a_context_of_its_own():
    proposed = contexts_for([CTImageStorage])

    assert [len(context.transfer_syntax) for context in proposed] == [3, *[1] * 36]
    assert proposed[1].transfer_syntax == [JPEGLosslessSV1]


# Privacy


def test_no_patient_data_reaches_the_log_or_the_representation(find_answers, caplog):
    caplog.set_level(logging.DEBUG)
    pacs = find_answers(
        {
            "StudyInstanceUID": "1.2.1",
            "PatientID": "P0042",
            "PatientName": "Secret^Name",
            "AccessionNumber": "SECRET1",
        }
    )

    found = find_studies(pacs, StudyCriteria(patient_id=Wildcard("P0042*")), **US)

    assert found.studies[0].PatientName == "Secret^Name"
    for secret in ("Secret", "SECRET1", "P0042"):
        assert secret not in caplog.text
        assert secret not in repr(found)


def test_no_patient_data_reaches_an_error(find_answers):
    pacs = find_answers(final=0xC001)

    with pytest.raises(QueryError) as failed:
        find_studies(pacs, BY_PATIENT, **US)

    assert "P0042" not in str(failed.value)


def test_a_reactor_past_its_checkpoint_is_not_taken_for_waiting(scripted_pacs, monkeypatch):
    waits, seen = _Checkpoint.wait, []

    def wait_and_be_preempted(checkpoint, timeout=None):
        passed = waits(checkpoint, timeout)
        time.sleep(0.005)  # a service user that looks now must see that it may not read yet
        seen.append(checkpoint._association._is_paused)
        return passed

    monkeypatch.setattr(_Checkpoint, "wait", wait_and_be_preempted)
    with associated(
        scripted_pacs(), [build_context(Verification)], dimse_seconds=2, **US
    ) as association:
        for _ in range(10):
            assert association.send_c_echo().get("Status") == 0x0000
            time.sleep(0.02)  # the reactor passes, more than once
        while_established = list(seen)
    assert len(while_established) >= 10
    assert not any(while_established)


@pytest.mark.timeout(30)
def test_a_reactor_that_waits_is_not_taken_for_passing(scripted_pacs, wait_until):
    with associated(
        scripted_pacs(), [build_context(Verification)], dimse_seconds=2, **US
    ) as association:
        association._reactor_checkpoint.clear()
        wait_until(lambda: association._is_paused, "the reactor to wait")
        association._is_paused = False  # as pynetdicom's thread of an N-EVENT-REPORT does
        assert association.send_c_echo().get("Status") == 0x0000
