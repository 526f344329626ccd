"""Audit messages: valid by the schema of PS3.15 A.5.1 and the tables of A.5.3, whatever is in them.

The schema, `audit_message.rng`, is written from the standard; lxml judges by it. Not covered:
events that nothing here causes.
"""

import base64
from pathlib import Path

import pytest
from lxml import etree

from web_status.audit_events import Deed, event_of
from web_status.audit_message import Reporter, message_of

AT = "2026-11-28T22:00:00.123+00:00"
US = Reporter("SAFELIGHT", "radiology-node", "St. Elsewhere")
SCHEMA = etree.RelaxNG(etree.parse(Path(__file__).with_name("audit_message.rng")))
STUDY = "1.2.840.99.1"
RECEIVED = Deed(
    "instances received", "", "a1", "10.1.2.3", peer="PACS1", study=STUDY, instances=7, patient="P7"
)


def read(deed, at=AT):
    """The message of a deed, as an independent reader has it, once it is found valid."""
    root = etree.fromstring(message_of(deed, at, US).encode())
    SCHEMA.assertValid(root)
    return root


def codes(root, tag):
    return [(one.get("csd-code"), one.get("originalText")) for one in root.iter(tag)]


def participants(root):
    """User, whether they asked for it, address and roles, of each."""
    return [
        (
            one.get("UserID"),
            one.get("UserIsRequestor") == "true",
            one.get("NetworkAccessPointID"),
            *(role.get("csd-code") for role in one.iter("RoleIDCode")),
        )
        for one in root.iter("ActiveParticipant")
    ]


def objects(root):
    """What kind of identifier, and the identifier, of each object."""
    return [
        (one[0].get("csd-code"), one.get("ParticipantObjectID"))
        for one in root.iter("ParticipantObjectIdentification")
    ]


def test_the_schema_refuses_what_is_none():
    root = read(RECEIVED)
    root[0].set("EventOutcomeIndicator", "5")
    assert not SCHEMA.validate(root)


def test_instances_that_came_say_from_whom_to_whom_of_which_study_and_patient():
    root = read(RECEIVED)
    event = root.find("EventIdentification")
    assert codes(root, "EventID") == [("110104", "DICOM Instances Transferred")]
    assert (event.get("EventActionCode"), event.get("EventOutcomeIndicator")) == ("C", "0")
    assert event.get("EventDateTime") == AT
    assert participants(root) == [
        ("PACS1", True, "10.1.2.3", "110153"),
        ("safelight", False, None, "110152"),
    ]
    titles = [one.get("AlternativeUserID") for one in root.iter("ActiveParticipant")]
    assert titles == ["AETITLES=PACS1", "AETITLES=SAFELIGHT"]
    assert objects(root) == [("110180", STUDY), ("2", "P7")]
    assert root.find(".//SOPClass").get("NumberOfInstances") == "7"
    source = root.find("AuditSourceIdentification")
    assert source.get("AuditSourceID") == "radiology-node"
    assert source.get("AuditEnterpriseSiteID") == "St. Elsewhere"


def test_what_is_sent_names_the_receiver_and_that_we_or_a_person_asked_for_it():
    root = read(Deed("instances sent", peer="ARCHIVE", address="pacs.example", study=STUDY))
    assert codes(root, "EventID")[0][0] == "110104"
    assert root[0].get("EventActionCode") == "R"
    assert participants(root) == [
        ("ARCHIVE", False, "pacs.example", "110152"),
        ("safelight", True, None, "110153"),
    ]
    asked = read(Deed("sending begun", "ada at the command line", peer="ARCHIVE", study=STUDY))
    assert codes(asked, "EventID") == [("110102", "Begin Transferring DICOM Instances")]
    assert [one[:2] for one in participants(asked)] == [
        ("ada at the command line", True),
        ("ARCHIVE", False),
        ("safelight", False),
    ]


def test_a_query_names_its_sop_class_and_never_its_criteria():
    root = read(Deed("PACS searched", "olga", address="10.0.0.5", peer="PACS1"))
    assert codes(root, "EventID") == [("110112", "Query")]
    assert objects(root) == [("110181", "1.2.840.10008.5.1.4.1.2.2.1")]
    assert root.find(".//ParticipantObjectQuery").text is None
    assert participants(root)[0] == ("olga", True, "10.0.0.5")
    assert participants(root)[1] == ("PACS1", False, None, "110152")


def test_an_alert_says_what_it_is_about_and_why():
    reason = "calling AE title NOBODY is not in [[dicom.accept]]"
    rejected = Deed("association rejected", "", "a2", "10.9.9.9", peer="NOBODY", problem=reason)
    root = read(rejected)
    assert codes(root, "EventID") == [("110113", "Security Alert")]
    assert codes(root, "EventTypeCode") == [("110126", "Node Authentication")]
    assert root[0].get("EventOutcomeIndicator") == "8"
    assert root.find(".//EventOutcomeDescription").text == reason
    assert objects(root) == [("110182", "NOBODY")]
    detail = root.find(".//ParticipantObjectDetail")
    assert detail.get("type") == "Alert Description"
    told = base64.b64decode(detail.get("value")).decode()
    assert told == f"association rejected: {reason}"


@pytest.mark.parametrize(
    ("action", "event", "kind", "outcome"),
    [
        ("application started", "110100", "110120", "0"),
        ("application stopped", "110100", "110121", "0"),
        ("instances deleted", "110105", None, "0"),
        ("study downloaded", "110106", None, "0"),
        ("files uploaded", "110107", None, "0"),
        ("login", "110114", "110122", "0"),
        ("login failed", "110114", "110122", "4"),
        ("logout", "110114", "110123", "0"),
        ("login refused: too many tries", "110113", "110132", "8"),
        ("token refused", "110113", "110126", "8"),
        ("user added", "110113", "110137", "0"),
        ("user made admin", "110113", "110137", "0"),
        ("token line\nbreak made", "110113", "110137", "0"),
        ("rules put in force", "110113", "110131", "0"),
        ("rules changed", "110113", "110131", "0"),
        ("job cancelled", "110113", "110132", "0"),
    ],
)
def test_each_deed_has_its_event(action, event, kind, outcome):
    root = read(Deed(action, "ada", "1.2.3", "10.0.0.1", study=STUDY))
    assert codes(root, "EventID")[0][0] == event
    assert [code for code, _ in codes(root, "EventTypeCode")] == ([kind] if kind else [])
    assert root[0].get("EventOutcomeIndicator") == outcome
    assert event_of(action).id.value == event


def test_what_is_imported_and_exported_names_its_medium():
    for action, role in (("study downloaded", "110154"), ("files uploaded", "110155")):
        roles = [one[3:] for one in participants(read(Deed(action, "olga", "2 files")))]
        assert (role,) in roles


def test_what_went_wrong_is_a_failure_with_its_reason():
    root = read(Deed("instances received", peer="PACS1", problem="the peer aborted"))
    assert root[0].get("EventOutcomeIndicator") == "4"
    assert root.find(".//EventOutcomeDescription").text == "the peer aborted"


@pytest.mark.parametrize(
    "hostile",
    [
        '"><AuditMessage/>',
        "]]>&amp;<!--",
        "\x00\x01\x1b\x7f\x85",
        "\ud800\udfff",
        "\ufffe\uffff",
        "line\r\nbreak\ttab",
        "Μαρία^山田",
        "\u202e" * 10,
        "x" * 5000,
        "",
    ],
)
def test_hostile_values_stay_in_their_place_and_in_one_line(hostile):
    deed = Deed(
        *("token refused", hostile, hostile, hostile, hostile),
        peer=hostile,
        study=hostile,
        instances=1,
        patient=hostile,
        problem=hostile,
    )
    message = message_of(deed, AT, Reporter(hostile, hostile or "us", hostile))
    assert not {"\n", "\r"} & set(message)
    root = etree.fromstring(message.encode())
    SCHEMA.assertValid(root)
    assert [one.tag for one in root].count("AuditSourceIdentification") == 1


def test_printable_text_of_any_script_is_kept_as_it_is():
    root = read(Deed("login", "Μαρία 山田 <&>"))
    assert participants(root)[0][0] == "Μαρία 山田 <&>"
