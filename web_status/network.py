"""Who is asked and who sends: what the configuration says, and what the ledger has seen."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from ledger.reader import LedgerReader
from ledger.sender_reader import RefusalGroup, SenderRow


@dataclass(frozen=True)
class Pacs:
    """A PACS or another receiver of the configuration, as words.

    Attributes
    ----------
    address
        ``host:port``.
    services
        What it is used for, such as ``C-MOVE from it, C-STORE to it``.
    """

    name: str
    ae_title: str
    address: str
    services: str


@dataclass(frozen=True)
class Allowed:
    """Who may send to us, as the configuration says.

    Attributes
    ----------
    addresses, may
        Its networks, and what it may do, as words.
    silent_hours
        It is missed when it brings nothing for so long; None for never.
    """

    calling_ae: str
    addresses: str
    may: str
    silent_hours: float | None = None


@dataclass(frozen=True)
class Network:
    """All of them."""

    pacs: tuple[Pacs, ...] = ()
    allowed: tuple[Allowed, ...] = ()


@dataclass(frozen=True)
class Echo:
    """How a PACS answered when it was asked whether it is there (PS3.4 A.4)."""

    at: str
    has_answered: bool
    words: str


@dataclass(frozen=True)
class Silence:
    """A sender that is missed: `since` is when its last association began that brought anything."""

    calling_ae: str
    since: str
    silent_hours: float


@dataclass(frozen=True)
class ShownPacs:
    """A PACS with its last echo."""

    pacs: Pacs
    echo: Echo | None


@dataclass(frozen=True)
class Peers:
    """The page of PACS and senders."""

    pacs: tuple[ShownPacs, ...]
    allowed: tuple[Allowed, ...]
    senders: tuple[SenderRow, ...] = ()
    silent: tuple[Silence, ...] = ()
    refusals: tuple[RefusalGroup, ...] = ()


def peers_of(reader: LedgerReader | None, network: Network, echoes: Mapping[str, Echo]) -> Peers:
    """What there is to say of PACS and senders; less without a ledger."""
    pacs = tuple(ShownPacs(one, echoes.get(one.name)) for one in network.pacs)
    if reader is None:
        return Peers(pacs, network.allowed)
    return Peers(
        pacs,
        network.allowed,
        reader.senders.senders(),
        silences(reader, network),
        reader.senders.refusals(),
    )


def silences(reader: LedgerReader, network: Network) -> tuple[Silence, ...]:
    """The senders that are missed; who never brought anything is not."""
    found = []
    for one in network.allowed:
        if one.silent_hours is None:
            continue
        last = reader.senders.last_brought_at(one.calling_ae)
        if last is not None and _age(last) > timedelta(hours=one.silent_hours):
            found.append(Silence(one.calling_ae, last, one.silent_hours))
    return tuple(found)


def _age(at: str) -> timedelta:
    return datetime.now(UTC) - datetime.fromisoformat(at)
