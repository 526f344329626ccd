"""A deed as a DICOM audit message: the XML of PS3.15 A.5.1, as A.5.3 has it for each event.

Neither names of patients nor what was searched for is in it; a Patient ID is where a deed has one.
"""

import ipaddress
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement, tostring

from web_status.audit_events import Code, Deed, Event, event_of

_STUDY = Code("110180", "Study Instance UID")
_SOP_CLASS = Code("110181", "SOP Class UID")
_NODE = Code("110182", "Node ID")
_PATIENT = Code("2", "Patient Number", "RFC-3881")
_URI = Code("12", "URI", "RFC-3881")
_STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.2.1"
_APPLICATION_SERVER = "4"


@dataclass(frozen=True)
class Reporter:
    """Who reports: the node as its audit messages call it.

    Attributes
    ----------
    ae_title
        Its AE title.
    source, site
        AuditSourceID and AuditEnterpriseSiteID (PS3.15 A.5.2); `site` may be empty.
    """

    ae_title: str
    source: str
    site: str = ""


def message_of(deed: Deed, at: str, reporter: Reporter) -> str:
    """The audit message of a deed that was done at a time (ISO 8601), in one line."""
    event = event_of(deed.action)
    root = Element("AuditMessage")
    root.append(_identification(deed, event, at))
    root.extend(_participants(deed, event, reporter))
    source = SubElement(root, "AuditSourceIdentification", AuditSourceID=_clean(reporter.source))
    if reporter.site:
        source.set("AuditEnterpriseSiteID", _clean(reporter.site))
    SubElement(source, "AuditSourceTypeCode", {"csd-code": _APPLICATION_SERVER})
    root.extend(_objects(deed, event))
    return '<?xml version="1.0" encoding="UTF-8"?>' + tostring(root, encoding="unicode")


def _identification(deed: Deed, event: Event, at: str) -> Element:
    outcome = event.outcome if event.outcome != "0" or not deed.problem else "4"
    element = Element(
        "EventIdentification",
        EventActionCode=event.action,
        EventDateTime=at,
        EventOutcomeIndicator=outcome,
    )
    element.append(_coded("EventID", event.id))
    if event.type is not None:
        element.append(_coded("EventTypeCode", event.type))
    if deed.problem:
        SubElement(element, "EventOutcomeDescription").text = _clean(deed.problem)
    return element


def _participants(deed: Deed, event: Event, reporter: Reporter) -> Iterator[Element]:
    """The person or program that asked for it, the other node, a medium, and this node."""
    is_by_person = bool(deed.user or deed.token or (deed.address and not deed.peer))
    if is_by_person:
        person = _participant(deed.user or "unknown", deed.address, is_requestor=True)
        if deed.token:
            person.set("AlternativeUserID", _clean(f"token {deed.token}"))
        yield person
    if deed.peer:
        address = "" if is_by_person else deed.address
        peer = _participant(deed.peer, address, is_requestor=event.is_by_peer)
        peer.set("AlternativeUserID", _clean(f"AETITLES={deed.peer}"))
        yield _in_role(peer, event.peer)
    if event.medium is not None:
        medium = _participant(deed.address or "file", "", is_requestor=False)
        yield _in_role(medium, event.medium)
    is_requestor = not (is_by_person or (deed.peer and event.is_by_peer))
    us = _participant("safelight", "", is_requestor=is_requestor)
    us.set("AlternativeUserID", _clean(f"AETITLES={reporter.ae_title}"))
    yield _in_role(us, event.us)


def _participant(user_id: str, address: str, *, is_requestor: bool) -> Element:
    element = Element(
        "ActiveParticipant",
        UserID=_clean(user_id),
        UserIsRequestor="true" if is_requestor else "false",
    )
    if address:
        element.set("NetworkAccessPointID", _clean(address))
        element.set("NetworkAccessPointTypeCode", "2" if _is_ip(address) else "1")
    return element


def _in_role(participant: Element, role: Code | None) -> Element:
    if role is not None:
        participant.append(_coded("RoleIDCode", role))
    return participant


def _objects(deed: Deed, event: Event) -> Iterator[Element]:
    """What it was done to: a study and its patient, a query, or what an alert is about."""
    if deed.study:
        study = _object(_STUDY, deed.study, kind="2", role="3")
        if deed.instances:
            description = SubElement(study, "ParticipantObjectDescription")
            SubElement(description, "SOPClass", NumberOfInstances=str(deed.instances))
        yield study
    if deed.patient:
        yield _object(_PATIENT, deed.patient, kind="1", role="1", name="")
    if event.is_query:
        yield _object(_SOP_CLASS, _STUDY_ROOT_FIND, kind="2", role="3", tag="Query")
    elif event.is_alert:
        about = (_NODE, deed.peer) if deed.peer else (_URI, deed.target or "safelight")
        alert = _object(*about, kind="2", role="13")
        told = f"{deed.action}: {deed.problem}" if deed.problem else deed.action
        value = b64encode(told.encode("utf-8", "replace")).decode()
        SubElement(alert, "ParticipantObjectDetail", type="Alert Description", value=value)
        yield alert


def _object(
    id_type: Code, value: str, *, kind: str, role: str, name: str | None = None, tag: str = "Name"
) -> Element:
    """An object by its identifier, which is its name too where nothing else is given.

    The schema wants a name or a query; a query without its criteria is empty.
    """
    element = Element(
        "ParticipantObjectIdentification",
        ParticipantObjectID=_clean(value),
        ParticipantObjectTypeCode=kind,
        ParticipantObjectTypeCodeRole=role,
    )
    element.append(_coded("ParticipantObjectIDTypeCode", id_type))
    named = SubElement(element, f"ParticipantObject{tag}")
    if tag == "Name":
        named.text = _clean(value if name is None else name)
    return element


def _coded(tag: str, code: Code) -> Element:
    return Element(
        tag,
        {"csd-code": code.value, "codeSystemName": code.system, "originalText": code.meaning},
    )


def _is_ip(address: str) -> bool:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return False
    return True


def _clean(text: str) -> str:
    r"""A text without what XML 1.0 cannot hold, which a peer may have sent.

    >>> _clean("A\x00B") == "A\ufffdB"
    True
    """
    return "".join(one if _may_be(ord(one)) else "\ufffd" for one in text)


def _may_be(point: int) -> bool:
    """Whether XML 1.0 2.2 allows a character; lines and tabs are none that a value has."""
    return 0x20 <= point <= 0xD7FF or 0xE000 <= point <= 0xFFFD or point >= 0x10000
