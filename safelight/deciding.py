"""Turns closed series into recorded decisions with jobs, by the rules in force.

It reads a series' first instance and the ledger, applies the rules, and records what they say.
A series is decided when it closes, and again when what a rule waited for is there.
"""

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial

from ledger.cases import Case
from ledger.records import ClosedSeries, NewJob
from ledger.writer import LedgerWriter
from listener.errors import UnreadableInstance
from listener.log_ids import logged_as
from listener.spool import SeriesKey, Spool
from processor.disguise import step_of
from processor.job import job_key
from processor.names import study_folder_name
from rules.decide import decide
from rules.errors import RuleError
from rules.model import Decision, Rule, SeriesFacts
from rules.texts import RuleText
from safelight.audit_deeds import audit_trail
from safelight.config import Config
from safelight.errors import ConfigError
from safelight.list_rules import rules_on
from safelight.receivers import require_receivers
from safelight.rules_file import in_force, read_texts, rule_changes, rules_of, rules_path
from safelight.seeing import see_series
from web_status.audit_events import Deed

logger = logging.getLogger(__name__)


class Deciding:
    """The DECIDE step of the daemon.

    All methods belong to the thread that owns the ledger.

    Parameters
    ----------
    config
        The configuration in force.
    ledger
        Where decisions go, with the jobs they queue.
    spool
        Where the instances are.

    Raises
    ------
    ConfigError, RuleError
        The rules cannot be read, and none were in force before.
    """

    def __init__(self, config: Config, ledger: LedgerWriter, spool: Spool) -> None:
        self._config = config
        self._ledger = ledger
        self._spool = spool
        self._trail = audit_trail(config)
        self._rules: tuple[Rule, ...] = ()
        self._take_first_rules()

    @property
    def rules(self) -> tuple[Rule, ...]:
        """The rules in force."""
        return self._rules

    def reload(self) -> bool:
        """Read the rules again; return whether they are in force.

        Rules that cannot be read leave those before in force; the log and the ledger say so.
        """
        try:
            self._take(read_texts(rules_path(self._config)))
        except (RuleError, ConfigError) as error:
            self._refuse(error)
            return False
        logger.info("rules: %d are in force", len(self._rules))
        self._decide_again(self._ledger.work.held())
        return True

    def resume(self) -> None:
        """Decide what an earlier run left undecided, held, or put off."""
        for series_id in self._ledger.work.undecided():
            self.decide(self._ledger.work.closed_series(series_id))
        self._decide_again((*self._ledger.work.held(), *self._ledger.cases.put_off()))

    def decide(self, series: ClosedSeries) -> None:
        """Decide a series that closed."""
        self._decide(self._ledger.cases.case(series.id))

    def study_closed(self, study_instance_uid: str) -> None:
        """Decide the series of a study anew when it is complete and a rule asks about studies."""
        if any(kind == "study" for rule in self._rules for _, kind in rule.match.names()):
            self._decide_again(self._ledger.cases.closed_series_of_study(study_instance_uid))

    def after_job(self, series_id: int) -> None:
        """Decide a series anew when a job of it has ended and a rule waited for that."""
        case = self._ledger.cases.case(series_id)
        if case.put_off or case.outcome == "hold":
            self._decide_again((series_id,))

    def decide_again(self, series_ids: Iterable[int]) -> None:
        """Decide series by the rules in force, and have made what is not there, as a person asks.

        What is there under the same key stays. One that is arriving will be decided anyway, and
        of one whose instances a rule deleted nothing can be made.
        """
        for case in map(self._ledger.cases.case, series_ids):
            if not case.is_arriving and case.series.sop_instance_uids:
                self._record(case, *self._decision(case), is_again=True)

    def retrieved(self, series_instance_uids: Iterable[str]) -> None:
        """Decide anew what a retrieve list with a rule of its own found here already."""
        for uid in series_instance_uids:
            for case in map(self._ledger.cases.case, self._ledger.cases.of_uid(uid)):
                if case.list_rule and not case.is_arriving and case.series.sop_instance_uids:
                    self._decide(case, is_again=True)

    def study_folder(self, series_id: int) -> str:
        """The folder of the study of a series, below the results folder."""
        return study_folder_name(*self._ledger.cases.study(series_id))

    def _take_first_rules(self) -> None:
        """Take the site's rules; where they were broken meanwhile, those in force before."""
        try:
            self._take(read_texts(rules_path(self._config)))
        except (RuleError, ConfigError) as error:
            before = self._ledger.rule_loads.latest_texts()
            if not before:
                raise
            self._rules = in_force(rules_of(before))
            self._refuse(error)

    def _take(self, texts: Sequence[RuleText]) -> None:
        rules = in_force(rules_of(texts))
        require_receivers(rules, self._config)
        if changes := rule_changes(self._rules or self._rules_before(), rules):
            logger.info("rules: %s", changes)
        self._rules = rules
        if tuple(texts) != self._ledger.rule_loads.latest_texts():
            self._trail.record(Deed("rules changed", target=f"{len(rules)} rules"))
        self._ledger.rule_loads.record(len(self._rules), texts)

    def _rules_before(self) -> tuple[Rule, ...]:
        """The rules that an earlier run had in force; none where they are none to this version."""
        with suppress(RuleError):
            return in_force(rules_of(self._ledger.rule_loads.latest_texts()))
        return ()

    def _refuse(self, error: Exception) -> None:
        logger.error("rules: %s; the rules before stay in force", error)
        self._ledger.rule_loads.record_failure(str(error))

    def _decide_again(self, series_ids: Iterable[int]) -> None:
        """Decide series that are closed still; one that is arriving will be decided anyway."""
        for case in map(self._ledger.cases.case, series_ids):
            if not case.is_arriving:
                self._decide(case)

    def _decide(self, case: Case, *, is_again: bool = False) -> None:
        """Apply the rules; record what they say, unless it was said already."""
        decision, seen = self._decision(case)
        if (decision.outcome, decision.summary) == (case.outcome, case.summary):
            return
        self._record(case, decision, seen, is_again=is_again)

    def _record(
        self, case: Case, decision: Decision, seen: SeriesFacts, *, is_again: bool = False
    ) -> None:
        jobs = [new_job(case.series, rule, seen) for rule in decision.rules]
        latest = partial(self._ledger.jobs.latest_key, is_again=is_again)
        jobs = [replace(job, key=latest(job.key)) for job in jobs]
        self._ledger.work.record_decision(case.series, decision, jobs, is_again=is_again)
        with logged_as(series=case.series.id):
            self._log(case, decision)

    @staticmethod
    def _log(case: Case, decision: Decision) -> None:
        logger.info(
            "series %s revision %d: %d instances, %s, %s",
            case.series.key.SeriesInstanceUID,
            case.series.revision,
            len(case.series.sop_instance_uids),
            case.series.grade,
            decision.outcome,
        )

    def _decision(self, case: Case) -> tuple[Decision, SeriesFacts]:
        folder = self._spool.folder_of(SeriesKey(*case.series.key))
        first = folder / f"{case.series.sop_instance_uids[0]}.dcm"
        try:
            seen = see_series(case, first, self._rules)
        except (UnreadableInstance, OSError) as error:
            summary = f"held: its first instance cannot be read ({type(error).__name__})"
            return Decision("hold", summary, (), ()), SeriesFacts({}, {})
        try:
            rules = rules_on(case, self._rules)
        except RuleError as error:  # another version of Safelight took the order
            return Decision("hold", f"held: {error}", (), ()), seen
        return decide(seen, rules, case.ended_rules), seen


def new_job(series: ClosedSeries, rule: Rule, seen: SeriesFacts) -> NewJob:
    """The job of a rule that matched."""
    destination = destination_of(rule, seen)
    uid = series.key.SeriesInstanceUID
    return NewJob(
        job_key(uid, series.digest, rule.name, rule.steps, destination),
        rule.name,
        rule.steps,
        destination=destination,
        priority=rule.priority,
        window=str(rule.window or ""),
        notify=rule.notify,
    )


def destination_of(rule: Rule, seen: SeriesFacts) -> str:
    """Where a rule wants its outputs.

    Of one that de-identifies it is the template, for the job to fill in: here it would tell who
    the patient is.
    """
    if rule.destination is None:
        return ""
    if step_of(rule.steps) is not None:
        return rule.destination.text
    return rule.destination.folder(seen.header)
