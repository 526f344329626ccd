"""Takes one look at the node: the ledger in its thread, the progress in the event loop."""

from aiohttp import web

from ledger.errors import NoLedger
from ledger.reader import LedgerReader
from web_status.context import CONTEXT, Progress, WebContext
from web_status.ledger_thread import LEDGER
from web_status.veil import veil
from web_status.views import Topic, View, view_of, view_without_ledger


async def look(app: web.Application, topic: Topic) -> View:
    """What the page about `topic` shows now.

    Raises
    ------
    NotInLedger
        There is nothing of that number.
    LedgerUnavailable
        The ledger cannot be read at the moment.
    """
    context = app[CONTEXT]
    progress = dict(context.progress())
    try:
        return await app[LEDGER].ask(lambda reader: _seen(reader, topic, context, progress))
    except NoLedger:
        return view_without_ledger(topic, context)


def _seen(reader: LedgerReader, topic: Topic, context: WebContext, progress: Progress) -> View:
    view = view_of(reader, topic, context, progress)
    return veil(view) if topic.veiled else view


async def mark_of(app: web.Application) -> tuple[object, ...]:
    """Something that is different whenever ledger, progress or what the page keeps has changed."""
    try:
        version = await app[LEDGER].ask(LedgerReader.version)
    except NoLedger:
        version = -1
    return version, dict(app[CONTEXT].progress()), app[CONTEXT].kept.mark()
