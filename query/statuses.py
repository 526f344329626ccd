"""What a PACS's numbers mean and what to do about them; tables only, it talks to nobody."""

from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True)
class Meaning:
    """A status in words.

    Parameters
    ----------
    text : str
        The standard's meaning.
    remedy : str
        What a person can do, with the fields ``{calling_ae}``; in a rejection ``{called_ae}``;
        in a C-MOVE ``{destination_ae}``, ``{destination_host}`` and ``{destination_port}``.
    """

    text: str
    remedy: str


SUCCESS = 0x0000
MOVE_DESTINATION_UNKNOWN = 0xA801
PENDING = frozenset({0xFF00, 0xFF01})
# C-MOVE or C-GET was performed, perhaps in part; every other final status is a refusal.
RETRIEVE_ENDED = frozenset({SUCCESS, 0xB000, 0xFE00})

_READ_LOG = "its log says why"
_REGISTER = (
    "its administrator must add AE title {destination_ae}, "
    "host {destination_host}, port {destination_port}"
)
_REACH = (
    "check that it can connect to AE title {destination_ae} at "
    "{destination_host}:{destination_port} and that Safelight accepts its AE title; "
    "it may also be busy: try again later"
)

# PS3.7 Annex C: any service may answer these.
GENERAL = MappingProxyType(
    {
        0x0105: Meaning("no such attribute", _READ_LOG),
        0x0106: Meaning("invalid attribute value", _READ_LOG),
        0x0110: Meaning("processing failure", _READ_LOG),
        0x0112: Meaning("no such SOP instance", "search again: it may have been deleted"),
        0x0117: Meaning("invalid SOP instance", _READ_LOG),
        0x0118: Meaning("no such SOP class", _READ_LOG),
        0x0120: Meaning("missing attribute", _READ_LOG),
        0x0122: Meaning("SOP class not supported", "its administrator must enable the service"),
        0x0124: Meaning(
            "not authorised", "its administrator must allow the service to AE title {calling_ae}"
        ),
        0x0210: Meaning("duplicate invocation", "try again"),
        0x0211: Meaning("unrecognised operation", "its administrator must enable the service"),
        0x0212: Meaning("mistyped argument", _READ_LOG),
        0x0213: Meaning("resource limitation", "it is busy: try again later"),
    }
)

# PS3.4 C.4.1.1.4, Table C.4-1
FIND = MappingProxyType(
    {
        0xA700: Meaning("out of resources", "ask for less at once, or try again later"),
        0xA900: Meaning(
            "identifier does not match SOP class",
            "it may not support the Study Root query model or one of the keys",
        ),
        0xFE00: Meaning("matching cancelled", "it was stopped at the PACS: ask again"),
    }
)

# PS3.4 C.4.2.1.5, Table C.4-2
MOVE = MappingProxyType(
    {
        0xA701: Meaning(
            "out of resources, unable to calculate the number of matches", "try again later"
        ),
        0xA702: Meaning("out of resources, unable to perform sub-operations", _REACH),
        MOVE_DESTINATION_UNKNOWN: Meaning("destination unknown", _REGISTER),
        0xA900: Meaning(
            "identifier does not match SOP class",
            "it may not support the Study Root query model",
        ),
        0xB000: Meaning("sub-operations complete, one or more failures", _REACH),
        0xFE00: Meaning("sub-operations cancelled", "it was stopped at the PACS: ask again"),
    }
)

# PS3.4 C.4.3.1.4, Table C.4-3: instances come on the association of the request.
GET = MappingProxyType(
    {
        0xA701: MOVE[0xA701],
        0xA702: Meaning("out of resources, unable to perform sub-operations", "try again later"),
        0xA900: MOVE[0xA900],
        0xB000: Meaning("sub-operations complete, one or more failures", _READ_LOG),
        0xFE00: MOVE[0xFE00],
    }
)

# PS3.4 B.2.3, Table B.2-1. Of a failure the last digits are the receiver's own.
STORE = MappingProxyType(
    {
        0xB000: Meaning("coercion of data elements", "it took the instance and changed elements"),
        0xB006: Meaning("elements discarded", "it took the instance without some elements"),
        0xB007: Meaning("data set does not match SOP class", "it took the instance all the same"),
        0xA700: Meaning("out of resources", "it has no room or is busy: try again later"),
        0xA900: Meaning(
            "data set does not match SOP class",
            "it does not take the instance as it is: its log says which element it misses",
        ),
        0xC000: Meaning("cannot understand", _READ_LOG),
    }
)
STORE_ACCEPTED = frozenset({SUCCESS, 0xB000, 0xB006, 0xB007})
_STORE_FAMILIES = MappingProxyType({0xA7: 0xA700, 0xA9: 0xA900})
_PASSING = frozenset({0x0110, 0x0210, 0x0213})

# PS3.4 Tables C.4-1 to C.4-3: 0xC000 to 0xCFFF is "unable to process", whatever the rest says.
_UNABLE_TO_FIND = Meaning("unable to process", _READ_LOG)
# Orthanc answers so, and not 0xA801 or 0xA702, for each of these causes.
_UNABLE_TO_MOVE = Meaning(
    "unable to process",
    f"{_READ_LOG}: it does not hold the study, or it cannot connect to the destination, "
    f"or it does not know it and {_REGISTER}",
)
_UNKNOWN = Meaning("a status the standard does not define", _READ_LOG)


def find_meaning(status: int) -> Meaning:
    """Return what a final C-FIND (or C-ECHO) status means.

    Examples
    --------
    >>> find_meaning(0xA700).text
    'out of resources'
    """
    if status & 0xF000 == 0xC000:
        return _UNABLE_TO_FIND
    return FIND.get(status) or GENERAL.get(status, _UNKNOWN)


def move_meaning(status: int) -> Meaning:
    """Return what a final C-MOVE status means.

    Examples
    --------
    >>> move_meaning(0xA801).text
    'destination unknown'
    """
    if status & 0xF000 == 0xC000:
        return _UNABLE_TO_MOVE
    return MOVE.get(status) or GENERAL.get(status, _UNKNOWN)


def get_meaning(status: int) -> Meaning:
    """Return what a final C-GET status means.

    Examples
    --------
    >>> get_meaning(0xA702).remedy
    'try again later'
    """
    if status & 0xF000 == 0xC000:
        return _UNABLE_TO_FIND
    return GET.get(status) or GENERAL.get(status, _UNKNOWN)


def store_meaning(status: int) -> Meaning:
    """Return what a C-STORE status means.

    Examples
    --------
    >>> store_meaning(0xA7FF).text
    'out of resources'
    """
    family = 0xC000 if status & 0xF000 == 0xC000 else _STORE_FAMILIES.get(status >> 8, status)
    return STORE.get(family) or GENERAL.get(status, _UNKNOWN)


def is_worth_a_retry(status: int) -> bool:
    """Tell whether a C-STORE that was answered so may succeed later.

    Examples
    --------
    >>> is_worth_a_retry(0xA700), is_worth_a_retry(0xA900)
    (True, False)
    """
    return status >> 8 == 0xA7 or status in _PASSING


# PS3.8 9.3.4, Table 9-21
RESULTS = MappingProxyType({1: "rejected permanently", 2: "rejected for now"})
SOURCES = MappingProxyType(
    {1: "service user", 2: "service provider, ACSE", 3: "service provider, presentation"}
)

# PS3.8 9.3.4, Table 9-21: (source, reason)
REJECTIONS = MappingProxyType(
    {
        (1, 1): Meaning(
            "no reason given", "its administrator must check that it allows AE title {calling_ae}"
        ),
        (1, 2): Meaning("application context name not supported", "is it a DICOM port?"),
        (1, 3): Meaning(
            "calling AE title not recognised",
            "its administrator must add our AE title {calling_ae}, or [dicom] ae_title is wrong",
        ),
        (1, 7): Meaning(
            "called AE title not recognised",
            "it does not call itself {called_ae}: correct ae_title of this [[pacs]]",
        ),
        (2, 1): Meaning("no reason given", _READ_LOG),
        (2, 2): Meaning("protocol version not supported", "is it a DICOM port?"),
        (3, 1): Meaning("temporary congestion", "it is busy: try again later"),
        (3, 2): Meaning(
            "local limit exceeded",
            "it has too many associations: try again later, or ask for fewer at once",
        ),
    }
)


def rejection_meaning(source: int, reason: int) -> Meaning:
    """Return why an association was rejected.

    Examples
    --------
    >>> rejection_meaning(1, 3).text
    'calling AE title not recognised'
    """
    return REJECTIONS.get((source, reason), _UNKNOWN)
