"""What the page is told by the daemon when it starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from aiohttp import web
from prometheus_client.registry import Collector

from ledger.reader import LedgerReader
from ledger.tallies import Waiting
from listener.retrievals import Retrieval
from processor.remote import RemoteWorker
from web_status.asking import Actions
from web_status.network import Network
from web_status.node import About, Condition, Kept
from web_status.node_settings import NodeSettings
from web_status.rule_desk import RuleDesk
from web_status.settings import AuditSettings, WebSettings

Progress = Mapping[str, tuple[str, float]]
"""Key of a running job to the name of its step and the fraction of that step done, 0 to 1."""


def _nothing_to_say(_reader: LedgerReader) -> Condition:
    return Condition()


def _nobody_to_ask(_data: Path) -> Callable[[LedgerReader], Condition]:
    return _nothing_to_say


def _never_retrieved(_study_uid: str) -> Retrieval | None:
    return None


@dataclass(frozen=True)
class WebContext:
    """The node the page is about.

    Attributes
    ----------
    ledger
        The SQLite file; it need not exist yet.
    results
        The results folder: nothing outside it is ever sent.
    data
        The data folder; the use of its disk is shown, and the users and the audit trail are there.
    progress
        Says how far the running jobs are; called in the event loop, so it must not block.
    identity
        AE title and address of the receiver, as ``SAFELIGHT @ 0.0.0.0:11112``.
    version
        The version of Safelight.
    actions
        Does what is asked for on the page.
    rules
        Tries rules out, and puts them in force.
    settings
        The ``[web]`` table. A request's Host header must name one of its `allowed_hosts`: a page
        elsewhere could have its own name resolve to this machine (DNS rebinding).
    network
        Who is asked and who may send.
    about
        What does not change: versions and configuration.
    condition
        Says how long the disk lasts and what is held up; called in the ledger's thread.
    log
        The latest lines of the daemon's log, the newest last; it reads files.
    cluster
        The workers on other machines, where jobs run on them.
    kept
        What the page itself remembers.
    metrics
        What the daemon tells Prometheus of itself; asked in a thread of its own.
    queues
        What waits outside the ledger, by name; it looks into folders.
    audit
        The ``[audit]`` table.
    told
        What a PACS said that the study of a UID has, at its latest retrieval; it reads a file.
    nodes
        The other nodes that are shown beside this one.
    condition_of
        What `condition` would say, were this the data folder of the node.
    """

    ledger: Path
    results: Path
    data: Path
    progress: Callable[[], Progress]
    identity: str
    version: str
    actions: Actions
    rules: RuleDesk
    settings: WebSettings = field(default_factory=WebSettings)
    network: Network = field(default_factory=Network)
    about: About = field(default_factory=About)
    condition: Callable[[LedgerReader], Condition] = _nothing_to_say
    log: Callable[[], Sequence[str]] = tuple
    cluster: Callable[[], tuple[RemoteWorker, ...]] = tuple
    kept: Kept = field(default_factory=Kept)
    metrics: Sequence[Collector] = ()
    queues: Callable[[], Mapping[str, Waiting]] = dict
    audit: AuditSettings = field(default_factory=AuditSettings)
    told: Callable[[str], Retrieval | None] = _never_retrieved
    nodes: tuple[NodeSettings, ...] = ()
    condition_of: Callable[[Path], Callable[[LedgerReader], Condition]] = _nobody_to_ask

    @property
    def ae_title(self) -> str:
        """The AE title to send to."""
        return self.identity.partition(" @ ")[0]

    @property
    def dicom_address(self) -> tuple[str, str]:
        """Host and port to send to; this machine where the receiver listens on all addresses."""
        host, _, port = self.identity.partition(" @ ")[2].rpartition(":")
        return ("localhost" if host in ("", "0.0.0.0", "[::]", "::") else host), port  # noqa: S104 - compared, not bound

    def beside(self, data: Path) -> "WebContext":
        """Another node on this machine, as far as its data folder tells."""
        return replace(
            self,
            ledger=data / self.ledger.name,
            results=data / self.results.name,
            data=data,
            identity="",
            version="",
            network=Network(),
            condition=self.condition_of(data),
        )


CONTEXT = web.AppKey("context", WebContext)
