"""Deeds, and what they are to the standard: event, action and roles of PS3.15 A.5.3, a table."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType


@dataclass(frozen=True)
class Deed:
    """What somebody did, or some other system, or this node by itself.

    Attributes
    ----------
    action
        Such as ``login``, ``login failed``, ``instances received``.
    user
        Who; empty where not known.
    target
        UID, number or user it was done to; empty where there is none.
    address
        Where the request came from; empty for the command line. Of a deed with a `peer` and
        without a user, where that peer is.
    token
        The name of the user's token with which a program did it; empty for a person.
    peer
        The AE title of the other system; empty where there is none.
    study, instances
        The Study Instance UID it was about, and how many instances.
    patient
        The Patient ID of the study. It is left out unless the site wants it in the trail.
    problem
        What went wrong, without anything about a patient; empty where all went well.
    """

    action: str
    user: str = ""
    target: str = ""
    address: str = ""
    token: str = ""
    peer: str = ""
    study: str = ""
    instances: int = 0
    patient: str = ""
    problem: str = ""


@dataclass(frozen=True)
class Code:
    """A code, of DICOM's own terminology (PS3.16) unless `system` says otherwise."""

    value: str
    meaning: str
    system: str = "DCM"


@dataclass(frozen=True)
class Event:
    """What a deed is to the standard.

    Attributes
    ----------
    id, type
        EventID (CID 400) and EventTypeCode (CID 401).
    action
        EventActionCode: create, read, update, delete or execute.
    outcome
        EventOutcomeIndicator; success becomes a minor failure where a deed has a problem.
    us, peer, medium
        The roles of this node, of the other one, and of the medium that data came or went by.
    is_by_peer
        Whether the other node asked for it.
    is_query
        Whether a query was asked.
    """

    id: Code
    action: str
    type: Code | None = None
    outcome: str = "0"
    us: Code | None = None
    peer: Code | None = None
    medium: Code | None = None
    is_by_peer: bool = False
    is_query: bool = False

    @property
    def is_alert(self) -> bool:
        """Whether it says of itself what it is about."""
        return self.id == OTHER.id


_APPLICATION = Code("110150", "Application")
_DESTINATION = Code("110152", "Destination Role ID")
_SOURCE = Code("110153", "Source Role ID")
_TO_MEDIUM = Code("110154", "Destination Media")
_FROM_MEDIUM = Code("110155", "Source Media")

_ACTIVITY = Event(Code("110100", "Application Activity"), "E", us=_APPLICATION)
_BEGIN = Event(
    Code("110102", "Begin Transferring DICOM Instances"), "E", us=_SOURCE, peer=_DESTINATION
)
_TRANSFERRED = Code("110104", "DICOM Instances Transferred")
_DELETED = Event(Code("110105", "DICOM Study Deleted"), "D")
_EXPORT = Event(Code("110106", "Export"), "R", us=_SOURCE, medium=_TO_MEDIUM)
_IMPORT = Event(Code("110107", "Import"), "C", us=_DESTINATION, medium=_FROM_MEDIUM)
_QUERY = Event(Code("110112", "Query"), "E", us=_SOURCE, peer=_DESTINATION, is_query=True)
_ALERT = Event(Code("110113", "Security Alert"), "E")
_AUTHENTICATION = Event(Code("110114", "User Authentication"), "E")

_LOGIN = replace(_AUTHENTICATION, type=Code("110122", "Login"))
_NODE_AUTHENTICATION = Code("110126", "Node Authentication")
_SOFTWARE = replace(_ALERT, type=Code("110131", "Software Configuration"))
_USERS = replace(_ALERT, type=Code("110137", "User Security Attributes Changed"))
OTHER = replace(_ALERT, type=Code("110132", "Use of Restricted Function"))
"""What the standard has no event for: a function was used that only some may use."""

_EVENTS: Mapping[str, Event] = MappingProxyType(
    {
        "application started": replace(_ACTIVITY, type=Code("110120", "Application Start")),
        "application stopped": replace(_ACTIVITY, type=Code("110121", "Application Stop")),
        "association rejected": replace(
            _ALERT, type=_NODE_AUTHENTICATION, outcome="8", is_by_peer=True
        ),
        "instances received": Event(
            _TRANSFERRED, "C", us=_DESTINATION, peer=_SOURCE, is_by_peer=True
        ),
        "sending begun": _BEGIN,
        "instances sent": Event(_TRANSFERRED, "R", us=_SOURCE, peer=_DESTINATION),
        "instances deleted": _DELETED,
        "results deleted": _DELETED,
        "study downloaded": _EXPORT,
        "output downloaded": _EXPORT,
        "workbook downloaded": _EXPORT,
        "files uploaded": _IMPORT,
        "instances imported": _IMPORT,
        "PACS searched": _QUERY,
        "PACS asked": _QUERY,
        "retrieve tried out": _QUERY,
        "login": _LOGIN,
        "login failed": replace(_LOGIN, outcome="4"),
        "login refused: too many tries": replace(OTHER, outcome="8"),
        "token refused": replace(_ALERT, type=_NODE_AUTHENTICATION, outcome="8"),
        "logout": replace(_AUTHENTICATION, type=Code("110123", "Logout")),
        "rules changed": _SOFTWARE,
        "rules put in force": _SOFTWARE,
        "rules not put in force": replace(_SOFTWARE, outcome="4"),
    }
)
_OF_USERS = re.compile(
    r"user (added|removed|made \w+)|password set|token .* (made|revoked)", re.DOTALL
)


def event_of(action: str) -> Event:
    """The event of a deed, by what it is called in the trail.

    >>> event_of("login").id.value, event_of("token export made").type.value
    ('110114', '110137')
    >>> event_of("job sent again").type.meaning
    'Use of Restricted Function'
    """
    if _OF_USERS.fullmatch(action):
        return _USERS
    return _EVENTS.get(action, OTHER)
