"""How the interface for programs reads: the ledger off the event loop, names as on the pages."""

from collections.abc import Callable
from typing import TypeVar

from aiohttp import web

from ledger.errors import NoLedger, NotInLedger
from ledger.reader import LedgerReader
from web_status.access import is_veiled
from web_status.ledger_thread import LEDGER
from web_status.veil import without_names

_Found = TypeVar("_Found")
_Empty = TypeVar("_Empty")


async def ask(request: web.Request, question: Callable[[LedgerReader], _Found]) -> _Found:
    """What the ledger answers, without names where they are hidden from who asks.

    What is hidden goes by the names in the answer: free text is asked for together with its series.

    Raises
    ------
    NotInLedger
        It has no such entry, or there is no ledger yet.
    """
    try:
        found = await request.app[LEDGER].ask(question)
    except NoLedger:
        raise NotInLedger("there is no ledger yet") from None
    return without_names(found) if is_veiled(request) else found


async def ask_or(
    request: web.Request, question: Callable[[LedgerReader], _Found], empty: _Empty
) -> _Found | _Empty:
    """The same; `empty` before there is a ledger."""
    try:
        return await ask(request, question)
    except NotInLedger:
        return empty


def number_of(request: web.Request) -> int:
    """The number in the address."""
    return int(request.match_info["number"])
