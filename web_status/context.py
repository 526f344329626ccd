"""What the page is told by the daemon when it starts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import web

from ledger.reader import LedgerReader
from listener.retrievals import Retrieval
from processor.remote import RemoteWorker
from web_status.asking import Actions
from web_status.network import Network
from web_status.node import About, Condition, Kept
from web_status.rule_desk import RuleDesk
from web_status.settings import WebSettings

Progress = Mapping[str, tuple[str, float]]
"""Key of a running job to the name of its step and the fraction of that step done, 0 to 1."""


def _nothing_to_say(_reader: LedgerReader) -> Condition:
    return Condition()


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
    told
        What a PACS said that the study of a UID has, at its latest retrieval; it reads a file.
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
    told: Callable[[str], Retrieval | None] = _never_retrieved

    @property
    def ae_title(self) -> str:
        """The AE title to send to."""
        return self.identity.partition(" @ ")[0]

    @property
    def dicom_address(self) -> tuple[str, str]:
        """Host and port to send to; this machine where the receiver listens on all addresses."""
        host, _, port = self.identity.partition(" @ ")[2].rpartition(":")
        return ("localhost" if host in ("", "0.0.0.0", "[::]", "::") else host), port  # noqa: S104 - compared, not bound


CONTEXT = web.AppKey("context", WebContext)
