"""User identity negotiation (PS3.7 D.3.3.7): a rule that asks for a username and a passcode.

Kerberos, SAML and JWT identities are refused where a username is asked for; nothing else is
done with them.
"""

import subprocess
import sys

import pytest
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian
from pynetdicom import AE
from pynetdicom.pdu_primitives import UserIdentityNegotiation
from pynetdicom.sop_class import Verification

PASSCODE, WRONG = "canary-right-4711", "canary-wrong-0815"
ACCEPT = f"""
[[dicom.accept]]
calling_ae = "CT1"
addresses = ["127.0.0.0/8"]
username = "ct1"
passcode = "{PASSCODE}"
[[dicom.accept]]
calling_ae = "CT2"
addresses = ["127.0.0.0/8"]
username = "ct2"
[[dicom.accept]]
calling_ae = "CT3"
addresses = ["127.0.0.0/8"]
"""
USERNAME, USERNAME_AND_PASSCODE, SAML = 1, 2, 4  # PS3.7 Table D.3-14
REJECTED_WITHOUT_REASON = (1, 1, 1)  # PS3.8 Table 9-21


@pytest.fixture(scope="module")
def site(serve):
    """A site that asks CT1 for a username and a passcode, CT2 for a username, CT3 for nothing."""
    return serve(ACCEPT)


@pytest.fixture
def associate(site, rejections):
    """Function that associates as an AE with a user identity, given as the item's attributes."""
    opened = []

    def request(calling_ae, **identity):
        ae = AE(calling_ae)
        ae.add_requested_context(Verification)
        ae.add_requested_context(CTImageStorage, ExplicitVRLittleEndian)
        items = [identity_item(**identity)] if identity else []
        association = ae.associate(
            "127.0.0.1",
            site.port,
            ae_title="SAFELIGHT",
            ext_neg=items,
            evt_handlers=rejections.handlers,
        )
        opened.append(association)
        return association

    yield request
    for association in opened:
        if association.is_established:
            association.release()


@pytest.fixture
def storescu_as(site, program, sample):
    """Function that sends an instance with DCMTK under a user identity; returns what it says."""

    def send(*options):
        path = sample("explicit little endian")
        command = [program("storescu"), "-d", "-aet", "CT1", "-aec", "SAFELIGHT", *options]
        command += ["127.0.0.1", str(site.port), str(path)]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)

    return send


@pytest.mark.parametrize("asked", [True, False])
def test_the_right_passcode_is_answered_positively_when_that_is_asked_for(associate, asked):
    association = associate("CT1", kind=USERNAME_AND_PASSCODE, secondary=PASSCODE, asked=asked)
    assert association.is_established
    assert association.send_c_echo().Status == 0x0000
    # PS3.7 D.3.3.7.2: for a username and passcode the response is there, and empty.
    answer = association.acceptor.user_identity
    assert (answer.server_response if asked else answer) == (b"" if asked else None)


@pytest.mark.parametrize(
    "identity",
    [
        {},
        {"kind": USERNAME_AND_PASSCODE, "secondary": WRONG},
        {"kind": USERNAME_AND_PASSCODE, "secondary": WRONG, "asked": True},
        {"kind": USERNAME_AND_PASSCODE, "secondary": PASSCODE, "primary": "ct2"},
        {"kind": USERNAME_AND_PASSCODE, "secondary": PASSCODE + "x"},
        {"kind": USERNAME_AND_PASSCODE, "secondary": PASSCODE[:-1]},
        {"kind": USERNAME},
        {"kind": SAML, "primary": PASSCODE},
    ],
    ids=[
        "missing",
        "wrong passcode",
        "wrong passcode, answer asked for",
        "wrong username",
        "longer passcode",
        "shorter passcode",
        "username alone",
        "SAML",
    ],
)
def test_an_identity_that_is_missing_or_wrong_is_rejected(associate, rejections, identity):
    assert not associate("CT1", **identity).is_established
    assert rejections == [REJECTED_WITHOUT_REASON]


def test_a_username_is_enough_where_no_passcode_is_asked_for(associate, rejections):
    assert associate("CT2", kind=USERNAME, primary="ct2").is_established
    assert rejections == []
    assert not associate("CT2", kind=USERNAME, primary="ct1").is_established
    assert rejections == [REJECTED_WITHOUT_REASON]


def test_an_identity_nobody_asked_for_is_no_hindrance(associate):
    assert associate("CT3", kind=USERNAME_AND_PASSCODE, secondary=WRONG).is_established
    assert associate("CT3", kind=SAML, primary="<saml/>").is_established


def test_an_identity_that_nobody_checked_is_not_confirmed(associate):
    association = associate("CT3", kind=USERNAME_AND_PASSCODE, secondary=WRONG, asked=True)
    assert association.is_established
    assert association.acceptor.user_identity is None


def test_dcmtk_is_let_in_with_the_right_passcode(storescu_as):
    done = storescu_as("--user", "ct1", "--password", PASSCODE)
    assert done.returncode == 0, done.stderr


def test_dcmtk_gets_the_positive_response_it_asks_for(storescu_as):
    done = storescu_as("--user", "ct1", "--password", PASSCODE, "--pos-response")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("options", [("--user", "ct1", "--password", WRONG), ("--user", "ct1"), ()])
def test_dcmtk_is_kept_out_without_the_right_passcode(storescu_as, options):
    done = storescu_as(*options)
    assert done.returncode != 0
    assert "Result: Rejected Permanent, Source: Service User" in done.stderr
    assert "Reason: No Reason" in done.stderr


def test_no_passcode_is_ever_written_down(site, associate, wait_until):
    associate("CT1", kind=USERNAME_AND_PASSCODE, secondary=PASSCODE).release()
    associate("CT1", kind=USERNAME_AND_PASSCODE, secondary=WRONG)
    wait_until(
        lambda: {"released", "rejected"} <= {event["event"] for event in site.events()},
        "both associations in the journal",
    )
    command = [sys.executable, "-m", "safelight", "config", "check", "--config", str(site.config)]
    shown = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "no errors found" in shown
    written = [path for path in site.folder.rglob("*") if path.is_file() and path != site.config]
    assert len(written) > 3
    for content in (shown.encode(), *(path.read_bytes() for path in written)):
        assert PASSCODE.encode() not in content
        assert WRONG.encode() not in content


def test_a_rejection_says_in_the_journal_that_the_identity_was_the_cause(
    site, associate, wait_until
):
    associate("CT1", kind=USERNAME_AND_PASSCODE, secondary=WRONG)
    wait_until(lambda: reasons(site), "the rejection in the journal")
    assert all("identity" in reason for reason in reasons(site))


def identity_item(kind, primary="ct1", secondary=None, *, asked=False):
    item = UserIdentityNegotiation()
    item.user_identity_type = kind
    item.positive_response_requested = asked
    item.primary_field = primary.encode()
    if secondary is not None:
        item.secondary_field = secondary.encode()
    return item


def reasons(site):
    """Why CT1 was rejected, as the journal has it."""
    return [
        event["reason"]
        for event in site.events()
        if event["event"] == "rejected" and event["calling_ae"] == "CT1"
    ]
