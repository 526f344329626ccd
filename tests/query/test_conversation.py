"""An association that pynetdicom negotiated and that we speak on; the peer is pynetdicom too.

What a peer does wrong is in test_client_with_scripted_pacs.py: finding, moving and getting use it.
"""

import threading

import pytest
from pydicom.dataset import Dataset
from pynetdicom import build_context, evt
from pynetdicom.association import Association
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.service_class import QueryRetrieveServiceClass

from listener.dimse import C_FIND_RQ, C_MOVE_RQ
from query.association import conversing
from query.client import StudyRootFind
from query.conversation import Question
from query.errors import AssociationAborted, ServiceNotOffered
from query.move import StudyRootMove

US = {"calling_ae": "SAFELIGHT", "dimse_seconds": 5}


def question(field=C_FIND_RQ, service="C-FIND", sop_class=StudyRootFind):
    identifier = Dataset()
    identifier.QueryRetrieveLevel = "STUDY"
    destination = "SAFELIGHT" if field == C_MOVE_RQ else ""
    return Question(field, service, sop_class, identifier, destination)


def test_nothing_of_pynetdicom_runs_on_our_side_and_the_peer_is_released(scripted_pacs):
    released = threading.Event()
    pacs = scripted_pacs({evt.EVT_RELEASED: lambda _event: released.set()})

    with conversing(pacs, [build_context(StudyRootFind)], **US) as conversation:
        ours = [
            thread
            for thread in threading.enumerate()
            if isinstance(thread, Association) and thread.is_requestor
        ]
        answers = [response.status for response, _ in conversation.ask(question())]

    assert ours == []
    assert len(answers) == 1
    assert released.wait(60)


def test_a_service_without_an_accepted_context_is_not_asked_for(scripted_pacs):
    pacs = scripted_pacs()
    with (
        pytest.raises(ServiceNotOffered, match="PACS1 offers no C-MOVE"),
        conversing(pacs, [build_context(StudyRootFind)], **US) as conversation,
    ):
        next(conversation.ask(question(C_MOVE_RQ, "C-MOVE", StudyRootMove)))


def test_an_instance_that_nobody_asked_for_ends_the_association(scripted_pacs, monkeypatch):
    aborted = threading.Event()

    def send_an_instance(service, _request, context):
        store = C_STORE()
        store.MessageID, store.Priority = 1, 0
        store.AffectedSOPClassUID, store.AffectedSOPInstanceUID = "1.2.3", "1.2.3.4"
        service.dimse.send_msg(store, context.context_id)

    monkeypatch.setattr(QueryRetrieveServiceClass, "_move_scp", send_an_instance)
    pacs = scripted_pacs({evt.EVT_ABORTED: lambda _event: aborted.set()})
    with (
        pytest.raises(AssociationAborted, match="C-MOVE"),
        conversing(pacs, [build_context(StudyRootMove)], **US) as conversation,
    ):
        next(conversation.ask(question(C_MOVE_RQ, "C-MOVE", StudyRootMove)))
    assert aborted.wait(60)
