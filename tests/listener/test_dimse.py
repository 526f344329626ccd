"""Command sets, with pynetdicom's encoder and decoder as the reference."""

from io import BytesIO

import pytest
from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode

from listener.dimse import (
    C_FIND_RQ,
    C_MOVE_RQ,
    C_STORE_RQ,
    N_ACTION_RQ,
    Command,
    QueryResponse,
    decode_command,
    decode_query_response,
    encode_cancel,
    encode_event_report,
    encode_query,
    encode_response,
)
from listener.errors import ProtocolViolation

CT, INSTANCE = "1.2.840.10008.5.1.4.1.1.2", "1.2.3.4"


def command_set(**elements):
    command = Dataset()
    for keyword, value in elements.items():
        setattr(command, keyword, value)
    body = encode(command, True, True)
    command.CommandGroupLength = len(body)
    return encode(command, True, True)


def read_back(encoded):
    """A command set as pynetdicom reads it, and its group length as it should be."""
    command = decode(BytesIO(encoded), True, True)
    assert command.CommandGroupLength == len(encoded) - 12
    return command


STORE = {
    "AffectedSOPClassUID": CT,
    "CommandField": 0x0001,
    "MessageID": 7,
    "Priority": 0,
    "CommandDataSetType": 0x0001,
    "AffectedSOPInstanceUID": INSTANCE,
}


def test_a_store_request_is_read():
    assert decode_command(command_set(**STORE)) == Command(C_STORE_RQ, 7, CT, INSTANCE, True)


def test_an_action_request_names_what_it_requests():
    action = {
        "RequestedSOPClassUID": "1.2.840.10008.1.20.1",
        "CommandField": 0x0130,
        "MessageID": 9,
        "CommandDataSetType": 0x0001,
        "RequestedSOPInstanceUID": "1.2.840.10008.1.20.1.1",
        "ActionTypeID": 1,
    }
    found = decode_command(command_set(**action))
    assert (found.field, found.sop_instance_uid) == (N_ACTION_RQ, "1.2.840.10008.1.20.1.1")
    assert found.action_type == 1


@pytest.mark.parametrize("missing", ["CommandField", "MessageID", "CommandDataSetType"])
def test_a_command_set_without_an_element_it_needs_is_refused(missing):
    elements = {keyword: value for keyword, value in STORE.items() if keyword != missing}
    with pytest.raises(ProtocolViolation, match="incomplete"):
        decode_command(command_set(**elements))


@pytest.mark.parametrize("encoded", [b"", b"\0" * 7, command_set(**STORE)[:-3]])
def test_a_command_set_that_breaks_off_is_refused(encoded):
    with pytest.raises(ProtocolViolation):
        decode_command(encoded)


def test_a_dataset_is_no_command_set():
    instance = Dataset()
    instance.SOPClassUID = CT
    with pytest.raises(ProtocolViolation, match="something else"):
        decode_command(encode(instance, True, True))


def test_a_response_is_read_by_pynetdicom():
    request = Command(C_STORE_RQ, 7, CT, INSTANCE, True)
    response = read_back(encode_response(request, 0xA700, "spool: " + "x" * 100))
    assert (response.CommandField, response.MessageIDBeingRespondedTo) == (0x8001, 7)
    assert (response.Status, response.CommandDataSetType) == (0xA700, 0x0101)
    assert (response.AffectedSOPClassUID, response.AffectedSOPInstanceUID) == (CT, INSTANCE)
    assert len(response.ErrorComment) == 64


def test_an_event_report_is_read_by_pynetdicom():
    report = read_back(encode_event_report(3, "1.2.3", "1.2.3.5", 2))
    assert (report.CommandField, report.MessageID, report.EventTypeID) == (0x0100, 3, 2)
    assert (report.AffectedSOPClassUID, report.AffectedSOPInstanceUID) == ("1.2.3", "1.2.3.5")


def test_a_query_is_read_by_pynetdicom():
    move = read_back(encode_query(C_MOVE_RQ, 3, "1.2.3", "SAFELIGHT"))
    assert (move.CommandField, move.MessageID, move.AffectedSOPClassUID) == (0x0021, 3, "1.2.3")
    assert (move.MoveDestination, move.Priority) == ("SAFELIGHT", 0)
    assert move.CommandDataSetType != 0x0101
    assert "MoveDestination" not in read_back(encode_query(C_FIND_RQ, 3, "1.2.3"))


def test_a_cancel_is_read_by_pynetdicom():
    cancel = read_back(encode_cancel(3))
    assert (cancel.CommandField, cancel.MessageIDBeingRespondedTo) == (0x0FFF, 3)
    assert cancel.CommandDataSetType == 0x0101


def test_a_response_to_a_query_tells_its_status_and_what_it_counts():
    pending = command_set(
        CommandField=0x8021,
        MessageIDBeingRespondedTo=3,
        CommandDataSetType=0x0101,
        Status=0xFF00,
        NumberOfRemainingSuboperations=7,
        NumberOfCompletedSuboperations=2,
        NumberOfFailedSuboperations=1,
    )
    assert decode_query_response(pending) == QueryResponse(0xFF00, 7, 2, 1, None)


def test_a_response_without_a_status_is_refused():
    without = command_set(CommandField=0x8021, MessageIDBeingRespondedTo=3)
    with pytest.raises(ProtocolViolation, match="incomplete"):
        decode_query_response(without)
