"""What we answer, as the standard numbers it. Tables only; `docs/conformance.md` prints them."""

from typing import NamedTuple


class Status(NamedTuple):
    """A DIMSE status: its code, the standard's name for it, and when we answer it."""

    code: int
    meaning: str
    when: str


# PS3.4 Table B.2-1, C-STORE Response Status Values
SUCCESS = Status(0x0000, "Success", "the instance is durable in the spool or in its quarantine")
OUT_OF_RESOURCES = Status(
    0xA700,
    "Refused: Out of Resources",
    "the spool cannot be written now, or the instance is larger than we take",
)
DATASET_MISMATCH = Status(
    0xA900,
    "Error: Data Set does not match SOP Class",
    "the command and its dataset name different instances",
)
CANNOT_UNDERSTAND = Status(
    0xC000,
    "Error: Cannot understand",
    "a UID is missing or unsafe, or the dataset cannot be read as far as its UIDs",
)
STORAGE_STATUSES = (SUCCESS, OUT_OF_RESOURCES, DATASET_MISMATCH, CANNOT_UNDERSTAND)

# PS3.7 10.1.4.1.10, N-ACTION Response Status Values
COMMITMENT_TAKEN = Status(0x0000, "Success", "the request is durable; the result follows")
PROCESSING_FAILURE = Status(0x0110, "Processing failure", "the request cannot be kept now")
NO_SUCH_INSTANCE = Status(
    0x0112, "No such SOP Instance", "it is not the well-known instance 1.2.840.10008.1.20.1.1"
)
INVALID_ARGUMENT = Status(
    0x0115,
    "Invalid argument value",
    "the Transaction UID or a reference is missing or unusable",
)
NO_SUCH_ACTION = Status(0x0123, "No such action", "the Action Type ID is not 1")
COMMITMENT_STATUSES = (
    COMMITMENT_TAKEN,
    PROCESSING_FAILURE,
    NO_SUCH_INSTANCE,
    INVALID_ARGUMENT,
    NO_SUCH_ACTION,
)


class Rejection(NamedTuple):
    """An A-ASSOCIATE-RJ: result, source, reason (PS3.8 Table 9-21), and when we answer it.

    `cause` is the one word for it in the journal.
    """

    result: int
    source: int
    reason: int
    when: str
    cause: str


IDENTITY_REFUSED = Rejection(1, 1, 1, "the user identity is missing or wrong", "identity")
CALLING_AE_NOT_RECOGNIZED = Rejection(
    *(1, 1, 3, "nothing opens us to this calling AE title, from this address, in this way"),
    "calling_ae",
)
CALLED_AE_NOT_RECOGNIZED = Rejection(1, 1, 7, "the called AE title is not ours", "called_ae")
LOCAL_LIMIT_EXCEEDED = Rejection(2, 3, 2, "as many associations as allowed are open", "limit")
REJECTIONS = (
    IDENTITY_REFUSED,
    CALLING_AE_NOT_RECOGNIZED,
    CALLED_AE_NOT_RECOGNIZED,
    LOCAL_LIMIT_EXCEEDED,
)
