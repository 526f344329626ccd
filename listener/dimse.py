"""DIMSE command sets, read and written (PS3.7 6.3.1): implicit VR little endian, group 0000."""

from dataclasses import dataclass
from struct import Struct, error, unpack_from

from listener.errors import ProtocolViolation

C_STORE_RQ = 0x0001
C_GET_RQ = 0x0010
C_FIND_RQ = 0x0020
C_MOVE_RQ = 0x0021
C_ECHO_RQ = 0x0030
C_CANCEL_RQ = 0x0FFF
N_EVENT_REPORT_RQ = 0x0100
N_EVENT_REPORT_RSP = 0x8100
N_ACTION_RQ = 0x0130
RESPONSE = 0x8000
"""Bit of the Command Field: it is the response to that request."""

_NO_DATASET = 0x0101
_HEADER = Struct("<HHI")
_US = Struct("<H")

# PS3.7 Annex E.1, element numbers of group 0000
_AFFECTED_SOP_CLASS = 0x0002
_REQUESTED_SOP_CLASS = 0x0003
_COMMAND_FIELD = 0x0100
_MESSAGE_ID = 0x0110
_DESTINATION = 0x0600
_PRIORITY = 0x0700
_RESPONDED_MESSAGE_ID = 0x0120
_DATASET_TYPE = 0x0800
_STATUS = 0x0900
_ERROR_COMMENT = 0x0902
_AFFECTED_SOP_INSTANCE = 0x1000
_REQUESTED_SOP_INSTANCE = 0x1001
_EVENT_TYPE = 0x1002
_ACTION_TYPE = 0x1008
_SUBOPERATIONS = (0x1020, 0x1021, 0x1022, 0x1023)  # remaining, completed, failed, warnings

_MEDIUM = 0


@dataclass(frozen=True)
class Command:
    """A request or response that a peer sent.

    Attributes
    ----------
    field
        Command Field (0000,0100).
    message_id
        Message ID of a request, Message ID Being Responded To of a response.
    sop_class_uid, sop_instance_uid
        Affected or Requested SOP Class and Instance; empty where absent.
    has_dataset
        Whether a dataset follows.
    action_type
        Action Type ID (0000,1008) of an N-ACTION; 0 where absent.
    """

    field: int
    message_id: int
    sop_class_uid: str
    sop_instance_uid: str
    has_dataset: bool
    action_type: int = 0


def decode_command(encoded: bytes) -> Command:
    """Read a command set.

    Raises
    ------
    ProtocolViolation
        It breaks off, or an element it cannot do without is missing.
    """
    elements = _elements(encoded)
    try:
        response = _RESPONDED_MESSAGE_ID in elements
        return Command(
            _us(elements[_COMMAND_FIELD]),
            _us(elements[_RESPONDED_MESSAGE_ID if response else _MESSAGE_ID]),
            _uid(elements.get(_AFFECTED_SOP_CLASS) or elements.get(_REQUESTED_SOP_CLASS)),
            _uid(elements.get(_AFFECTED_SOP_INSTANCE) or elements.get(_REQUESTED_SOP_INSTANCE)),
            _us(elements[_DATASET_TYPE]) != _NO_DATASET,
            _us(elements[_ACTION_TYPE]) if _ACTION_TYPE in elements else 0,
        )
    except (KeyError, error) as cause:
        raise ProtocolViolation("a command set is incomplete") from cause


@dataclass(frozen=True)
class QueryResponse:
    """A C-FIND, C-GET or C-MOVE response.

    Attributes
    ----------
    status
        Status (0000,0900).
    remaining, completed, failed, warnings
        Numbers of sub-operations; None where the peer gave none.
    """

    status: int
    remaining: int | None
    completed: int | None
    failed: int | None
    warnings: int | None


def decode_query_response(encoded: bytes) -> QueryResponse:
    """Read the command set of a C-FIND, C-GET or C-MOVE response.

    Raises
    ------
    ProtocolViolation
        It breaks off, or has no status.
    """
    elements = _elements(encoded)
    try:
        counts = (elements.get(number) for number in _SUBOPERATIONS)
        return QueryResponse(
            _us(elements[_STATUS]), *(_us(count) if count else None for count in counts)
        )
    except (KeyError, error) as cause:
        raise ProtocolViolation("a response is incomplete") from cause


def _elements(encoded: bytes) -> dict[int, bytes]:
    elements: dict[int, bytes] = {}
    position = 0
    while position + 8 <= len(encoded):
        group, element, length = _HEADER.unpack_from(encoded, position)
        position += 8
        if group != 0 or position + length > len(encoded):
            raise ProtocolViolation("a command set holds something else")
        elements[element] = encoded[position : position + length]
        position += length
    return elements


def _us(value: bytes) -> int:
    return int(unpack_from("<H", value)[0])


def _uid(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0 ").decode("latin-1")


def encode_response(request: Command, status: int, comment: str = "") -> bytes:
    """The response to a C-STORE, C-ECHO or N-ACTION request, without a dataset.

    Parameters
    ----------
    request
        What is answered.
    status
        Status (0000,0900).
    comment
        Error Comment (0000,0902); its first 64 characters go out.
    """
    elements = [
        (_AFFECTED_SOP_CLASS, _padded(request.sop_class_uid, b"\0")),
        (_COMMAND_FIELD, _US.pack(request.field | RESPONSE)),
        (_RESPONDED_MESSAGE_ID, _US.pack(request.message_id)),
        (_DATASET_TYPE, _US.pack(_NO_DATASET)),
        (_STATUS, _US.pack(status)),
    ]
    if comment:
        elements.append((_ERROR_COMMENT, _padded(comment[:64], b" ")))
    if request.sop_instance_uid:
        elements.append((_AFFECTED_SOP_INSTANCE, _padded(request.sop_instance_uid, b"\0")))
    if request.action_type:
        elements.append((_ACTION_TYPE, _US.pack(request.action_type)))
    return _encoded(elements)


def encode_query(
    field: int, message_id: int, sop_class_uid: str, move_destination: str = ""
) -> bytes:
    """A C-FIND, C-GET or C-MOVE request with an identifier (PS3.7 9.3.2 to 9.3.4)."""
    elements = [
        (_AFFECTED_SOP_CLASS, _padded(sop_class_uid, b"\0")),
        (_COMMAND_FIELD, _US.pack(field)),
        (_MESSAGE_ID, _US.pack(message_id)),
        (_PRIORITY, _US.pack(_MEDIUM)),
        (_DATASET_TYPE, _US.pack(0x0001)),
    ]
    if move_destination:
        elements.insert(3, (_DESTINATION, _padded(move_destination, b" ")))
    return _encoded(elements)


def encode_cancel(message_id: int) -> bytes:
    """A C-CANCEL request (PS3.7 9.3.2.3)."""
    return _encoded(
        [
            (_COMMAND_FIELD, _US.pack(C_CANCEL_RQ)),
            (_RESPONDED_MESSAGE_ID, _US.pack(message_id)),
            (_DATASET_TYPE, _US.pack(_NO_DATASET)),
        ]
    )


def encode_event_report(
    message_id: int, sop_class_uid: str, sop_instance_uid: str, event_type: int
) -> bytes:
    """An N-EVENT-REPORT request with a dataset (PS3.7 10.3.1)."""
    return _encoded(
        [
            (_AFFECTED_SOP_CLASS, _padded(sop_class_uid, b"\0")),
            (_COMMAND_FIELD, _US.pack(N_EVENT_REPORT_RQ)),
            (_MESSAGE_ID, _US.pack(message_id)),
            (_DATASET_TYPE, _US.pack(0x0001)),
            (_AFFECTED_SOP_INSTANCE, _padded(sop_instance_uid, b"\0")),
            (_EVENT_TYPE, _US.pack(event_type)),
        ]
    )


def _padded(text: str, padding: bytes) -> bytes:
    value = text.encode("latin-1", "replace")
    return value + padding if len(value) % 2 else value


def _encoded(elements: list[tuple[int, bytes]]) -> bytes:
    body = b"".join(_HEADER.pack(0, element, len(value)) + value for element, value in elements)
    return _HEADER.pack(0, 0, 4) + len(body).to_bytes(4, "little") + body
