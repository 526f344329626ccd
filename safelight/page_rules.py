"""Tries rules that are made on the page, and puts them in force.

They are written into the file that `[rules] file` names, else into one in the data folder.
"""

import hashlib
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from ledger.cases import Case
from ledger.errors import LedgerError
from ledger.rule_reader import one_text
from listener.durable import write_durably
from rules.errors import RuleError
from rules.model import Rule
from rules.places import line_of
from rules.texts import RuleText
from safelight import job_commands
from safelight.config import Config
from safelight.errors import ConfigError, SafelightError
from safelight.list_rules import rules_on
from safelight.page_replay import replay
from safelight.receivers import require_receivers
from safelight.requests import Request
from safelight.rule_trials import cases_of, name_of, reading, said_of, see, what_rules_say
from safelight.rules_file import in_force, page_rules, read_texts, rules_of, rules_path
from web_status.errors import ActionRefused
from web_status.rule_desk import Flaw, Replay, RulesChanged, SaidRule, Standing, Told, Trial

_DRAFT = "draft"


@dataclass(frozen=True)
class PageRules:
    """A `web_status.rule_desk.RuleDesk` of this configuration."""

    config: Config
    _changing: threading.Lock = field(default_factory=threading.Lock)
    _replaying: threading.Lock = field(default_factory=threading.Lock)

    def standing(self) -> Standing:
        """The rules as they stand now."""
        text, file_text = one_text(self._texts()), self._file_text()
        marked = hashlib.sha256(f"{text}\0{file_text}".encode()).hexdigest()
        return Standing(
            text,
            None if file_text == text else file_text,
            marked,
            str(self._place),
            self._obstacle(),
        )

    def flaw(self, text: str) -> Flaw | None:
        """What is wrong with a draft; None where it could be put in force."""
        try:
            require_receivers(in_force(rules_of(_as_draft(text))), self.config)
        except RuleError as error:
            return Flaw(line_of(text, error), error.rule, error.key, error.problem)
        except ConfigError as error:
            return Flaw(None, "", "", str(error))
        return None

    def try_on(self, text: str, series: int) -> Trial:
        """What a draft and the rules in force say of a series that is closed."""
        draft, now = _rules(_as_draft(text)), _rules(self._texts())
        try:
            with reading(self.config) as reader:
                (case,) = cases_of(reader, str(series))
            with said_of(f"series {series}: its first instance"):
                return Trial(series, name_of(case), self._told(case, draft), self._told(case, now))
        except (LedgerError, SafelightError, RuleError) as error:
            raise ActionRefused(str(error)) from error

    def replay(self, text: str, days: int) -> Replay:
        """What a draft would have changed for the series that closed lately."""
        rules = in_force(_rules(_as_draft(text)))
        if not self._replaying.acquire(blocking=False):
            raise ActionRefused("another replay is running; try again when it has ended")
        try:
            return replay(self.config, rules, days)
        except LedgerError as error:
            raise ActionRefused(str(error)) from error
        finally:
            self._replaying.release()

    def put_in_force(self, text: str, mark: str) -> int:
        """Put rules in force; return the number of the version."""
        with self._changing:
            standing = self.standing()
            self._require(text, mark, standing)
            before = self._place.read_bytes() if self._place.exists() else None
            self._write(text.encode())
            problem = self._reload()
            if problem is not None:
                self._put_back(before)
                raise ActionRefused(f"the daemon refused them, and those before stay: {problem}")
            with reading(self.config) as reader:
                return reader.rules.latest_load().id

    @property
    def _place(self) -> Path:
        """The file to write, and not a link that leads there."""
        return (self.config.rules.file or page_rules(self.config)).resolve()

    def _obstacle(self) -> str:
        place, kept = self._place, page_rules(self.config)
        if place.is_dir():
            return (
                f"The rules are the files of the folder {place}, and the page writes one file."
                f" Put the draft there yourself and reload, or take [rules] file out of the"
                f" configuration and restart: the page then keeps the rules in {kept}."
            )
        if self.config.rules.file is None or os.access(place.parent, os.W_OK):
            return ""
        return (
            f"The service may not write {place}. Put the draft there yourself and reload, or take"
            f" [rules] file out of the configuration and restart: the page then keeps the rules"
            f" in {kept}; copy {place} there first."
        )

    def _texts(self) -> tuple[RuleText, ...]:
        """The rules in force, as the ledger has them."""
        try:
            with reading(self.config) as reader:
                found = reader.rules.in_force()
        except LedgerError as error:
            raise ActionRefused(str(error)) from error
        return () if found is None else found.texts

    def _file_text(self) -> str:
        try:
            return one_text(read_texts(rules_path(self.config)))
        except (ConfigError, RuleError):
            return ""

    def _told(self, case: Case, rules: Sequence[Rule]) -> Told:
        seen = see(self.config, case, rules)
        decision, every = what_rules_say(seen, rules_on(case, rules), case.ended_rules)
        said = tuple(SaidRule(one.reason, one.note) for one in every)
        return Told(decision.outcome, decision.summary, said)

    def _require(self, text: str, mark: str, standing: Standing) -> None:
        if standing.obstacle:
            raise ActionRefused(standing.obstacle)
        if standing.mark != mark:
            raise RulesChanged("the rules have changed since this draft was begun")
        if text == standing.text and standing.file_text is None:
            raise ActionRefused("these rules are in force already")
        flaw = self.flaw(text)
        if flaw is not None:
            where = f'rule "{flaw.rule}": {flaw.key}: ' if flaw.rule else ""
            raise ActionRefused(f"{where}{flaw.problem}")

    def _write(self, content: bytes) -> None:
        """Put them into their file, whole; who may read it stays."""
        place = self._place
        mode = place.stat().st_mode & 0o777 if place.exists() else None
        try:
            if self.config.rules.file is None:
                place.parent.mkdir(exist_ok=True)
            write_durably(place, content)
            if mode is not None:
                place.chmod(mode)
        except OSError as error:
            raise ActionRefused(f"{place} cannot be written: {error.strerror}") from error

    def _put_back(self, before: bytes | None) -> None:
        if before is None:
            self._place.unlink(missing_ok=True)
        else:
            self._write(before)
        with suppress(ActionRefused):  # it is told of the rules that were refused
            self._reload()

    def _reload(self) -> str | None:
        """Have the daemon read the rules again; return why it did not take them."""
        try:
            job_commands.ask(self.config, Request("reload"))
        except (SafelightError, OSError) as error:
            raise ActionRefused(f"the rules are written; {error}") from error
        with reading(self.config) as reader:
            return reader.rules.latest_load().problem


def _as_draft(text: str) -> tuple[RuleText, ...]:
    return (RuleText(_DRAFT, text),)


def _rules(texts: Sequence[RuleText]) -> tuple[Rule, ...]:
    try:
        return rules_of(texts)
    except RuleError as error:
        raise ActionRefused(str(error)) from error
