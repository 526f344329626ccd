"""Protocol data units of the DICOM upper layer as bytes (PS3.8 9.3): ours to send.

A-ASSOCIATE is in `listener.associate`; what comes in is read by `listener.inbox`.
"""

from struct import Struct

ASSOCIATE_RQ = 0x01
ASSOCIATE_RJ = 0x03
P_DATA_TF = 0x04
RELEASE_RQ = 0x05
RELEASE_RP = 0x06
ABORT = 0x07

COMMAND = 0x01
"""Bit of the message control header: the fragment belongs to a command (PS3.8 E.2)."""
LAST = 0x02
"""Bit of the message control header: it is the last of its command or dataset."""

# PS3.8 Table 9-26, A-ABORT: source, reason
ABORT_BY_USER = (0, 0)
ABORT_UNEXPECTED_PDU = (2, 2)

PDU_HEADER = Struct(">BxI")
PDV_HEADER = Struct(">IBB")
_CONTROL = Struct(">BxIxBBB")
_PDV_OVERHEAD = PDV_HEADER.size


def rejection(result: int, source: int, reason: int) -> bytes:
    """An A-ASSOCIATE-RJ PDU (PS3.8 9.3.4)."""
    return _CONTROL.pack(ASSOCIATE_RJ, 4, result, source, reason)


def release_request() -> bytes:
    """An A-RELEASE-RQ PDU (PS3.8 9.3.6)."""
    return PDU_HEADER.pack(RELEASE_RQ, 4) + bytes(4)


def release_response() -> bytes:
    """An A-RELEASE-RP PDU (PS3.8 9.3.7)."""
    return PDU_HEADER.pack(RELEASE_RP, 4) + bytes(4)


def abort(source: int, reason: int) -> bytes:
    """An A-ABORT PDU (PS3.8 9.3.8)."""
    return _CONTROL.pack(ABORT, 4, 0, source, reason)


def message(context_id: int, command: bytes, dataset: bytes = b"", *, maximum: int = 0) -> bytes:
    """A DIMSE message as P-DATA-TF PDUs of one PDV each (PS3.8 9.3.5).

    Parameters
    ----------
    context_id
        The presentation context.
    command, dataset
        Encoded; without a dataset the message is the command alone.
    maximum
        The largest PDU the peer takes, from its A-ASSOCIATE; 0 for any.
    """
    parts = [_fragments(context_id, command, COMMAND, maximum)]
    if dataset:
        parts.append(_fragments(context_id, dataset, 0, maximum))
    return b"".join(parts)


def _fragments(context_id: int, content: bytes, kind: int, maximum: int) -> bytes:
    size = max(maximum - _PDV_OVERHEAD, 1) if maximum else len(content)
    pdus = []
    for start in range(0, len(content), size):
        part = content[start : start + size]
        flags = kind | (LAST if start + size >= len(content) else 0)
        length = len(part)
        pdus += [
            PDU_HEADER.pack(P_DATA_TF, length + _PDV_OVERHEAD),
            PDV_HEADER.pack(length + 2, context_id, flags),
            part,
        ]
    return b"".join(pdus)
