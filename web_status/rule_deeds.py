"""What administrators have done with rules, each deed once: the pages and programs call it.

A draft belongs to who writes it, on the page and by programs alike. That one was begun is in the
audit trail; what is written into it after that is not: it changes nothing until it is put in force.
"""

import asyncio
from dataclasses import dataclass
from functools import partial

from aiohttp import web

from ledger.errors import NoLedger, NotInLedger
from web_status.access import person_of, record
from web_status.context import CONTEXT
from web_status.diffs import DiffLine, difference
from web_status.drafts import Draft, Drafts
from web_status.errors import ActionRefused
from web_status.ledger_thread import LEDGER
from web_status.rule_desk import Flaw, Replay, RuleDesk, Standing, Trial
from web_status.threads import in_own_thread

PUT_IN_FORCE = "rules put in force"
"""The deed in the audit trail; its target is ``version`` and the number."""

TEXT_BYTES_MAX = 1 << 20
"""How long a draft may be."""

DRAFTS = web.AppKey("drafts", Drafts)


@dataclass(frozen=True)
class Checked:
    """A draft beside the rules as they stand.

    Attributes
    ----------
    flaw
        What is wrong with it.
    changes
        What is different from the rules in force.
    """

    draft: Draft
    standing: Standing
    flaw: Flaw | None
    changes: tuple[DiffLine, ...]

    @property
    def is_stale(self) -> bool:
        """Whether the rules have changed since it was begun."""
        return self.draft.mark != self.standing.mark

    @property
    def may_force(self) -> bool:
        """Whether it could be put in force now."""
        is_other = bool(self.changes) or self.standing.file_text is not None
        is_good = self.flaw is None and not self.is_stale and not self.standing.obstacle
        return is_good and is_other


async def standing_of(request: web.Request) -> Standing:
    """The rules as they stand now."""
    return await asyncio.to_thread(_desk(request).standing)


async def draft_of(request: web.Request) -> Draft | None:
    """The draft of who asks; None where there is none."""
    return await asyncio.to_thread(request.app[DRAFTS].read, _user(request))


async def check(request: web.Request, draft: Draft | None) -> Checked:
    """Compare a draft with the rules as they stand; None stands for those in force."""
    desk = _desk(request)

    def checked() -> Checked:
        standing = desk.standing()
        one = draft or Draft(standing.text, standing.mark)
        changes = difference(standing.text, one.text)
        return Checked(one, standing, desk.flaw(one.text), changes)

    return await asyncio.to_thread(checked)


async def keep(request: web.Request, text: str, mark: str) -> Draft:
    """Keep what was written as the draft of who wrote it; what is in force already is none."""
    draft = Draft(_normal(text), mark)
    drafts, user = request.app[DRAFTS], _user(request)
    standing = await standing_of(request)
    if draft.text == standing.text:
        await asyncio.to_thread(drafts.discard, user)
        return Draft(standing.text, standing.mark)
    is_new = await asyncio.to_thread(drafts.read, user) is None
    await asyncio.to_thread(drafts.write, user, draft)
    if is_new:
        await record(request, "rules draft begun")
    return draft


def _normal(text: str) -> str:
    """A text with the ends of lines that files have; browsers send others."""
    lines = text.replace("\r\n", "\n").rstrip()
    return f"{lines}\n" if lines else ""


async def discard(request: web.Request) -> None:
    """Begin again from the rules in force."""
    await asyncio.to_thread(request.app[DRAFTS].discard, _user(request))
    await record(request, "rules draft discarded")


async def begin_with_file(request: web.Request) -> Draft:
    """Begin again from what the file of the rules says."""
    standing = await standing_of(request)
    draft = Draft(standing.file_text or standing.text, standing.mark)
    await asyncio.to_thread(request.app[DRAFTS].write, _user(request), draft)
    await record(request, "rules draft begun")
    return draft


async def try_on(request: web.Request, text: str, series: int) -> Trial:
    """Say what a draft and the rules in force make of a series; nothing is done."""
    return await in_own_thread(partial(_desk(request).try_on, text, series))


async def replay(request: web.Request, text: str, days: int) -> Replay:
    """Say what a draft would have changed for the series of some days; nothing is done."""
    await record(request, "rules replayed", f"{days} d")
    return await in_own_thread(partial(_desk(request).replay, text, days))


async def force_draft(request: web.Request, draft: Draft) -> int:
    """Put a draft in force, which is none then; return the number of the version.

    Raises
    ------
    ActionRefused
        The daemon does not take it; the message says why. The draft is kept.
    RulesChanged
        The rules have changed since it was begun.
    """
    number = await _force(request, draft.text, draft.mark)
    await asyncio.to_thread(request.app[DRAFTS].discard, _user(request))
    return number


async def force_version(request: web.Request, number: int, mark: str) -> int:
    """Put a version in force again, by the mark of the rules it replaces; raises as `force_draft`.

    Raises
    ------
    NotInLedger
        There is none of this number.
    """
    try:
        found = await request.app[LEDGER].ask(lambda reader: reader.rules.version(number))
    except NoLedger:
        raise NotInLedger(f"no version {number} of the rules") from None
    return await _force(request, found.text, mark, f"version {number}")


async def _force(request: web.Request, text: str, mark: str, target: str = "") -> int:
    try:
        number = await in_own_thread(partial(_desk(request).put_in_force, text, mark))
    except ActionRefused:
        await record(request, "rules not put in force", target)
        raise
    await record(request, PUT_IN_FORCE, f"version {number}")
    return number


def _desk(request: web.Request) -> RuleDesk:
    return request.app[CONTEXT].rules


def _user(request: web.Request) -> str:
    person = person_of(request)
    return "" if person is None else person.name
