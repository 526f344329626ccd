"""A-ASSOCIATE-RQ read and A-ASSOCIATE-AC written (PS3.8 9.3.2, 9.3.3; PS3.7 D.3.3).

pynetdicom decodes what a peer sent; the answer, which is much simpler, is put together here.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from struct import error as StructError  # noqa: N812 - it is a class
from struct import pack

from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_items import (
    MaximumLengthSubItem,
    SOPClassExtendedNegotiationSubItem,
    UserIdentitySubItemRQ,
)

from listener.errors import ProtocolViolation
from listener.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION

# PS3.8 Table 9-18, result of a presentation context
ACCEPTED = 0
ABSTRACT_SYNTAX_NOT_SUPPORTED = 3
TRANSFER_SYNTAXES_NOT_SUPPORTED = 4

# PS3.4 Table B.3-1: level 2 (full), digital signature level 3 (bits preserved), no coercion
_STORAGE_SERVICE = bytes((2, 0, 3, 0, 0, 0))

_APPLICATION_CONTEXT = b"1.2.840.10008.3.1.1.1"
_USERNAME, _USERNAME_AND_PASSCODE = 1, 2
# What pynetdicom raises on damaged PDUs.
_DECODE_ERRORS = (
    *(ValueError, TypeError, KeyError, IndexError, AttributeError, NotImplementedError),
    *(StructError, AssertionError),
)


@dataclass(frozen=True)
class ProposedContext:
    """A presentation context as it is proposed."""

    context_id: int
    abstract_syntax: str
    transfer_syntaxes: tuple[str, ...]


@dataclass(frozen=True)
class AgreedContext:
    """A presentation context with our answer; the transfer syntax counts where it is accepted."""

    context_id: int
    abstract_syntax: str
    result: int
    transfer_syntax: str


@dataclass(frozen=True)
class AssociationRequest:
    """What an A-ASSOCIATE-RQ says.

    Attributes
    ----------
    titles
        Called and calling AE title as they came, 32 bytes; the answer repeats them.
    maximum_pdu_bytes
        The longest PDU the peer takes; 0 for any.
    extended
        The storage SOP classes for which extended negotiation is asked.
    username, passcode
        The user identity; empty where none was given.
    wants_identity_response
        Whether a positive response to it is asked for.
    """

    called_ae: str
    calling_ae: str
    titles: bytes
    contexts: tuple[ProposedContext, ...]
    maximum_pdu_bytes: int
    extended: tuple[str, ...]
    username: str
    passcode: str
    wants_identity_response: bool


def decode_request(body: bytes) -> AssociationRequest:
    """Read an A-ASSOCIATE-RQ.

    Parameters
    ----------
    body
        The PDU without its first 6 bytes.

    Raises
    ------
    ProtocolViolation
        It cannot be read.
    """
    if len(body) < 68:
        raise ProtocolViolation("an A-ASSOCIATE-RQ that breaks off")
    titles = body[4:36]
    request = A_ASSOCIATE_RQ()
    # pynetdicom refuses some titles as text; who is let in is for the accept table to say.
    harmless = body[:4] + b"ANY".ljust(16) * 2 + body[36:]
    try:
        request.decode(b"\1\0" + len(body).to_bytes(4, "big") + harmless)
        return _described(request, titles)
    except _DECODE_ERRORS as cause:
        raise ProtocolViolation("an A-ASSOCIATE-RQ that cannot be read") from cause


def _described(request: A_ASSOCIATE_RQ, titles: bytes) -> AssociationRequest:
    contexts = tuple(
        ProposedContext(
            int(item.presentation_context_id or 0),
            str(item.abstract_syntax),
            tuple(str(syntax) for syntax in item.transfer_syntax),
        )
        for item in request.presentation_context
    )
    if not contexts or any(not context.transfer_syntaxes for context in contexts):
        raise ProtocolViolation("an A-ASSOCIATE-RQ without a usable presentation context")
    items = request.user_information.user_data if request.user_information else []
    lengths = [i.maximum_length_received for i in items if isinstance(i, MaximumLengthSubItem)]
    asked = [i.uid for i in items if isinstance(i, SOPClassExtendedNegotiationSubItem)]
    username, passcode, wants_response = _identity(items)
    return AssociationRequest(
        _title(titles[:16]),
        _title(titles[16:]),
        titles,
        contexts,
        lengths[0] or 0 if lengths else 0,
        tuple(str(uid) for uid in asked),
        username,
        passcode,
        wants_response,
    )


def _identity(items: Sequence[object]) -> tuple[str, str, bool]:
    """Username, passcode, and whether a response is asked for (PS3.7 D.3.3.7.1)."""
    for item in items:
        if isinstance(item, UserIdentitySubItemRQ):
            kind = item.user_identity_type
            primary = item.primary_field if kind in (_USERNAME, _USERNAME_AND_PASSCODE) else b""
            secondary = item.secondary_field if kind == _USERNAME_AND_PASSCODE else b""
            name, passcode = (
                (value or b"").decode("utf-8", "replace") for value in (primary, secondary)
            )
            return name, passcode, bool(item.positive_response_requested)
    return "", "", False


def _title(value: bytes) -> str:
    return value.decode("latin-1").strip(" \0")


def encode_acceptance(
    request: AssociationRequest,
    contexts: Iterable[AgreedContext],
    maximum_pdu_bytes: int,
    *,
    is_storage: Callable[[str], bool],
    identity_checked: bool,
) -> bytes:
    """An A-ASSOCIATE-AC PDU (PS3.8 9.3.3) that answers `request`.

    No asynchronous operations window is answered: one operation at a time (PS3.7 D.3.3.3).
    """
    items = [_item(0x10, _APPLICATION_CONTEXT)]
    for context in contexts:
        syntax = _item(0x40, context.transfer_syntax.encode("ascii", "replace"))
        items.append(_item(0x21, pack(">BxBx", context.context_id, context.result) + syntax))
    items.append(
        _item(0x50, _user_information(request, maximum_pdu_bytes, is_storage, identity_checked))
    )
    body = pack(">Hxx", 1) + request.titles + bytes(32) + b"".join(items)
    return pack(">BxI", 0x02, len(body)) + body


def _user_information(
    request: AssociationRequest,
    maximum_pdu_bytes: int,
    is_storage: Callable[[str], bool],
    identity_checked: bool,  # noqa: FBT001 - passed on
) -> bytes:
    items = [
        _item(0x51, pack(">I", maximum_pdu_bytes)),
        _item(0x52, IMPLEMENTATION_CLASS_UID.encode("ascii")),
        _item(0x55, IMPLEMENTATION_VERSION.encode("ascii")),
    ]
    for uid in filter(is_storage, request.extended):
        name = uid.encode("ascii", "replace")
        items.append(_item(0x56, pack(">H", len(name)) + name + _STORAGE_SERVICE))
    if request.wants_identity_response and identity_checked:
        items.append(_item(0x59, pack(">H", 0)))
    return b"".join(items)


def _item(kind: int, content: bytes) -> bytes:
    return pack(">BxH", kind, len(content)) + content
