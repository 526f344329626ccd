"""Has a PACS send instances to a storage SCP (C-MOVE); it receives none itself."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from pydicom.uid import UID
from pynetdicom import build_context

from listener.dimse import C_MOVE_RQ
from listener.settings import require_ae_title
from query.association import conversing
from query.conversation import Question
from query.identifiers import Selection, retrieve_identifier
from query.outcomes import (
    RetrieveOutcome,
    RetrieveProgress,
    is_performed,
    retrieve_outcome,
    retrieve_progress,
)
from query.settings import PacsSettings
from query.statuses import PENDING, move_meaning

# PS3.6 A; by number, because pynetdicom makes its names at run time.
StudyRootMove = UID("1.2.840.10008.5.1.4.1.2.2.2")


@dataclass(frozen=True)
class Destination:
    """The storage SCP that is sent to; C-MOVE carries its AE title, the rest is for messages."""

    ae_title: str
    host: str
    port: int


def move(
    pacs: PacsSettings,
    selections: Iterable[Selection],
    destination: Destination,
    *,
    calling_ae: str,
    on_progress: Callable[[RetrieveProgress], None] | None = None,
) -> Iterator[RetrieveOutcome]:
    """Have a PACS send studies, series or instances (C-MOVE, Study Root, PS3.4 C.4.2).

    One association carries all requests, one after the other; leaving the iterator early
    aborts it.

    Parameters
    ----------
    pacs : PacsSettings
        Who holds them.
    selections : iterable of Selection
        What is asked for; each is a request of its own.
    destination : Destination
        To whom they are sent.
    calling_ae : str
        Our AE title.
    on_progress : callable or None
        Called with the counters of each pending response; an exception in it aborts.

    Yields
    ------
    RetrieveOutcome
        What the PACS claims of each selection; `refusal` says why it did nothing.

    Raises
    ------
    QueryError
        The leaf that names the cause, see `query.errors`.
    ValueError
        If an AE title is not one.
    """
    require_ae_title(destination.ae_title)
    limit = pacs.move_seconds
    contexts = [build_context(StudyRootMove)]
    with conversing(pacs, contexts, calling_ae=calling_ae, dimse_seconds=limit) as conversation:
        for selection in selections:
            identifier = retrieve_identifier(selection)
            question = Question(
                C_MOVE_RQ, "C-MOVE", StudyRootMove, identifier, destination.ae_title
            )
            for response, failures in conversation.ask(question):
                if response.status not in PENDING:
                    refusal = _refusal(pacs, response.status, destination, calling_ae)
                    yield retrieve_outcome(response, failures, refusal)
                elif on_progress is not None:
                    on_progress(retrieve_progress(response))


def _refusal(pacs: PacsSettings, status: int, destination: Destination, calling_ae: str) -> str:
    if is_performed(status):
        return ""
    meaning = move_meaning(status)
    remedy = meaning.remedy.format(
        calling_ae=calling_ae,
        destination_ae=destination.ae_title,
        destination_host=destination.host,
        destination_port=destination.port,
    )
    return f"C-MOVE refused by {pacs.ae_title} (0x{status:04X}, {meaning.text}): {remedy}"
