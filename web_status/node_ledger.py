"""Reads the ledger of this node, or of another on this machine, as if that node were asked."""

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from ledger.errors import NoLedger, NotInLedger
from ledger.reader import LedgerReader
from ledger.study_reader import StudyFilter, StudyPage
from listener.landing import NETWORK_FILESYSTEMS, filesystem_of
from web_status.api.node import State, state_of
from web_status.api.studies import held_of
from web_status.context import WebContext
from web_status.errors import LedgerUnavailable, NodeUnheard
from web_status.languages import msgid
from web_status.ledger_thread import LedgerThread
from web_status.node_settings import HERE

_Found = TypeVar("_Found")


class LedgerNode:
    """A node whose ledger is on a disk of this machine. Whether it runs, a ledger does not say.

    Parameters
    ----------
    name, url
        What people call it, and where its page is; empty where there is none, and of this node.
    context
        The node, as far as it is known.
    """

    def __init__(self, name: str, url: str, context: WebContext) -> None:
        self.name, self.url = name, url
        self._context = context
        self._thread = LedgerThread(context.ledger)

    async def state(self) -> State:
        """How it is, by its ledger; less before this node has one.

        Raises
        ------
        NodeUnheard
            Its ledger is not there or cannot be read, and so below.
        """
        try:
            return await self._ask(lambda reader: state_of(reader, self._context))
        except NoLedger:
            return await asyncio.to_thread(state_of, None, self._context)

    async def studies(self, wanted: StudyFilter, before: int | None, limit: int) -> StudyPage:
        """Studies that it has, the latest first."""
        try:
            return await self._ask(
                lambda reader: reader.studies.page(wanted, before=before, limit=limit)
            )
        except NoLedger:
            return StudyPage()

    async def instances(self, study_id: int) -> Mapping[str, frozenset[str]]:
        """The SOP Instance UIDs of a study of its, by Series Instance UID."""
        try:
            return await self._ask(lambda reader: held_of(reader, study_id))
        except (NoLedger, NotInLedger):  # it was set aside meanwhile
            return {}

    async def close(self) -> None:
        """Close the ledger."""
        await self._thread.close()

    async def _ask(self, question: Callable[[LedgerReader], _Found]) -> _Found:
        kind = await asyncio.to_thread(filesystem_of, self._context.data)
        if kind.startswith(NETWORK_FILESYSTEMS):
            raise NodeUnheard(
                msgid("its ledger is on another machine, and SQLite cannot be read over a network"),
                msgid("Give the node url and token in place of data."),
            )
        try:
            return await self._thread.ask(question)
        except NoLedger:
            if self.name == HERE:
                raise
            raise NodeUnheard(
                msgid("there is no ledger in its data folder"),
                msgid("Correct [[nodes]] data, or let the user of this service read the folder."),
            ) from None
        except LedgerUnavailable:
            raise NodeUnheard(
                msgid("its ledger cannot be read now"),
                msgid(
                    "Let the user of this service read its data folder and write beside the"
                    " ledger, and see that both nodes have the same version of Safelight."
                ),
            ) from None
