"""Senders by what the ledger has seen, and PACS that answer, do not know us, or are not there.

Orthanc, and an instance that is moved: tests/acceptance/test_doctor.py.
"""

from datetime import UTC, datetime, timedelta

import pytest
from pydicom.dataset import Dataset
from pynetdicom import AE, evt

from ledger.writer import LedgerWriter
from listener.journal import AssociationEvent
from listener.watcher import Findings
from query.client import StudyRootFind, Verification
from safelight.doctor_moving import moved
from safelight.doctor_network import pacs, senders


@pytest.fixture
def scripted():
    """Function that starts a PACS called PACS1 with `services` and returns its ``[[pacs]]``."""
    running = []

    def start(*services, knows=(), answers=()):
        def find(event):
            asked.append(event.identifier)
            yield from ((0xFF00, one) for one in answers)

        entity = AE("PACS1")
        entity.require_calling_aet = list(knows)
        for service in services:
            entity.add_supported_context(service)
        server = entity.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_FIND, find)]
        )
        running.append(server)
        port = server.socket.getsockname()[1]
        return f'[[pacs]]\nname = "main"\nae_title = "PACS1"\nhost = "127.0.0.1"\nport = {port}\n'

    asked = []
    start.asked = asked
    yield start
    for server in running:
        server.shutdown()


def answer(**elements):
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    for keyword, value in elements.items():
        setattr(found, keyword, value)
    return found


def test_a_pacs_that_answers_is_asked_for_today_and_yesterday_and_nothing_of_it_is_told(
    site, scripted
):
    secret = answer(StudyInstanceUID="1.2.3", PatientName="Doe^Jane", PatientID="P4711")
    found = list(pacs(site(scripted(Verification, StudyRootFind, answers=[secret])), None))

    assert [one.level for one in found] == ["ok", "ok"]
    assert found[0].what.endswith("answers C-ECHO")
    assert found[1].what == "main: answers C-FIND: 1 study of today and yesterday"
    (asked,) = scripted.asked
    today = datetime.now().astimezone().date()
    assert asked.StudyDate == f"{today - timedelta(days=1):%Y%m%d}-{today:%Y%m%d}"


def test_a_pacs_that_does_not_know_us_is_a_problem_for_its_administrator(site, scripted):
    (found,) = pacs(site(scripted(Verification, StudyRootFind, knows=["OTHER"])), None)
    assert found.level == "problem"
    assert "rejected the association: calling AE title not recognised" in found.what
    assert found.remedy.startswith("its administrator must add our AE title SAFELIGHT")


def test_a_receiver_that_cannot_be_asked_is_only_warned_of(site, scripted):
    echo, find = pacs(site(scripted(Verification)), None)
    assert (echo.level, find.level) == ("ok", "warning")
    assert "offers none of the services asked for" in find.what


def test_a_pacs_that_is_not_there_is_a_problem_and_the_next_is_asked_all_the_same(
    site, scripted, free_port
):
    there = scripted(Verification, StudyRootFind)
    absent = f'[[pacs]]\nname = "far"\nae_title = "FAR"\nhost = "127.0.0.1"\nport = {free_port()}\n'
    found = list(pacs(site(absent + there), None))
    assert [one.level for one in found] == ["problem", "ok", "ok"]
    assert found[0].what.startswith("far: cannot reach FAR at 127.0.0.1")
    assert found[0].remedy.startswith("check host and port")


def test_a_pacs_that_lists_nothing_to_move_is_a_warning(site, scripted):
    empty = scripted(Verification, StudyRootFind) + 'retrieve = "get"\n'
    *_, found = pacs(site(empty), moved)
    assert (found.level, len(scripted.asked)) == ("warning", 4)
    assert "it lists no instance of the last ten years" in found.what


def test_a_pacs_that_lists_and_does_not_send_is_a_problem(site, scripted):
    one = answer(StudyInstanceUID="1.2.3", SeriesInstanceUID="1.2.4", SOPInstanceUID="1.2.5")
    silent = scripted(Verification, StudyRootFind, answers=[one]) + 'retrieve = "get"\n'
    *found, last = pacs(site(silent), moved)
    assert [one.level for one in found] == ["ok", "ok"]
    assert (last.level, last.what.startswith("main: PACS1 accepts associations but")) == (
        "problem",
        True,
    )


def test_nobody_who_may_send_is_a_warning(site):
    (found,) = senders(site())
    assert (found.level, found.what) == ("warning", "nobody may send")


ACCEPT = """
[[dicom.accept]]
calling_ae = "CT1"
addresses = ["10.1.3.0/24"]
silent_hours = 24
[[dicom.accept]]
calling_ae = "CT2"
addresses = ["10.1.3.0/24"]
"""


def test_senders_that_are_silent_or_turned_away_are_warned_of(site):
    examined = site(ACCEPT)
    long_ago, now = (
        (datetime.now(UTC) - timedelta(hours=hours)).isoformat(timespec="milliseconds")
        for hours in (30, 0)
    )
    with LedgerWriter(examined.config.storage.ledger) as ledger:
        events = (
            AssociationEvent("accepted", long_ago, "a1", calling_ae="CT1"),
            AssociationEvent("released", long_ago, "a1", calling_ae="CT1", stored=2),
            AssociationEvent("rejected", now, "a2", calling_ae="CT9", reason="no [[dicom.accept]]"),
            AssociationEvent("refused", now, "a1", calling_ae="CT1", reason="no space"),
        )
        ledger.intake.record(Findings(events, (), (), 0, {}))

    first, second, rejected, refused = senders(examined)

    assert first.level == "warning"
    assert "it is silent for more than 24 hours" in first.what
    assert (second.level, second.what.endswith("never sent yet")) == ("ok", True)
    assert rejected.level == "warning"
    assert rejected.what == "CT9 was turned away 1 time: no [[dicom.accept]]"
    assert refused.what == "CT1 was turned away 1 time: no space"


def test_without_a_ledger_only_the_configuration_is_told(site):
    assert [one.level for one in senders(site(ACCEPT))] == ["ok", "ok"]
