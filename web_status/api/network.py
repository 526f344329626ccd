"""PACS, senders and alarms for programs."""

from aiohttp import web

from ledger.reader import LedgerReader
from web_status import deeds
from web_status.api.models import Answer
from web_status.api.operation import NUMBER, Operation
from web_status.api.reading import ask_or, number_of
from web_status.context import CONTEXT
from web_status.network import Peers, peers_of
from web_status.views import Alarms


class Echo(Answer):
    """How a PACS answered when it was asked whether it is there."""

    at: str
    has_answered: bool
    words: str
    """How long it took, or what is wrong."""


class Pacs(Answer):
    """A PACS or another receiver of the configuration."""

    number: int
    """Its place in the configuration, from 1."""
    name: str
    ae_title: str
    address: str
    services: str
    echo: Echo | None
    """The last one."""


class PacsList(Answer):
    """All of them."""

    items: tuple[Pacs, ...]


class Allowed(Answer):
    """Who may send, as the configuration says."""

    calling_ae: str
    addresses: str
    may: str
    silent_hours: float | None


class Sender(Answer):
    """A calling AE title; counts are of the last 24 hours."""

    calling_ae: str
    address: str
    last_seen_at: str
    last_brought_at: str | None
    associations: int
    broken_off: int
    rejected: int
    stored: int
    refused: int


class Silence(Answer):
    """A sender that is missed."""

    calling_ae: str
    since: str
    silent_hours: float


class RefusalGroup(Answer):
    """What a sender was refused for one reason, how often, and when last."""

    calling_ae: str
    reason: str
    times: int
    last_at: str


class Senders(Answer):
    """Who may send, who does, who is missed, and what was refused."""

    allowed: tuple[Allowed, ...]
    senders: tuple[Sender, ...]
    silent: tuple[Silence, ...]
    refusals: tuple[RefusalGroup, ...]


class Refusal(Answer):
    """An instance or a presentation context that was refused."""

    calling_ae: str
    at: str
    reason: str


class Quarantined(Answer):
    """A file that was set aside."""

    name: str
    reason: str
    SeriesInstanceUID: str
    at: str


class Association(Answer):
    """An association: open, ended or rejected."""

    association_id: str
    calling_ae: str
    called_ae: str
    address: str
    state: str
    began_at: str
    ended_at: str | None
    stored: int
    duplicates: int
    quarantined: int
    refused: int
    bytes: int
    reason: str


class LatestAlarms(Answer):
    """The latest that was refused and set aside, and the latest associations; fifty of each."""

    refusals: tuple[Refusal, ...]
    quarantine: tuple[Quarantined, ...]
    senders: tuple[Association, ...]


async def list_pacs(request: web.Request) -> PacsList:
    """Who can be asked, with the last echo of each."""
    context = request.app[CONTEXT]
    shown = peers_of(None, context.network, context.kept.echoes).pacs
    return PacsList(
        items=tuple(
            Pacs.model_validate({"number": number, "echo": one.echo, **vars(one.pacs)})
            for number, one in enumerate(shown, start=1)
        )
    )


async def echo_pacs(request: web.Request) -> Echo:
    """Ask a PACS whether it is there (C-ECHO)."""
    return Echo.model_validate(await deeds.echo_pacs(request, number_of(request)))


async def list_senders(request: web.Request) -> Senders:
    """Who may send, who does, who is missed, and what was refused."""
    context = request.app[CONTEXT]

    def question(reader: LedgerReader) -> Peers:
        return peers_of(reader, context.network, context.kept.echoes)

    return Senders.model_validate(
        await ask_or(request, question, peers_of(None, context.network, {}))
    )


async def list_alarms(request: web.Request) -> LatestAlarms:
    """What was refused and set aside lately, and the latest associations."""
    return LatestAlarms.model_validate(await ask_or(request, Alarms.of, Alarms()))


OPERATIONS = (
    Operation("GET", "/pacs", list_pacs, PacsList),
    Operation("POST", f"/pacs/{NUMBER}/echo", echo_pacs, Echo),
    Operation("GET", "/senders", list_senders, Senders),
    Operation("GET", "/alarms", list_alarms, LatestAlarms),
)
