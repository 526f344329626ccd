"""The rules in force, as their page shows them."""

from dataclasses import dataclass, field
from functools import lru_cache

from ledger.reader import LedgerReader
from ledger.rule_reader import Matches
from rules.texts import RuleText
from web_status.node import RulesState
from web_status.rule_words import RulesShown


@dataclass(frozen=True)
class InForce:
    """The page of the rules.

    Attributes
    ----------
    state
        When they were loaded, and a later attempt that failed.
    shown
        The rules.
    matches
        How many of the latest series each matched.
    """

    state: RulesState = field(default_factory=RulesState)
    shown: RulesShown = field(default_factory=RulesShown)
    matches: Matches = field(default_factory=Matches)


def rules_in_force(reader: LedgerReader) -> InForce:
    """What the ledger says of them."""
    versions = reader.rules.versions(limit=1)
    shown = _read(versions[0].texts) if versions else RulesShown()
    return InForce(RulesState(*reader.rules_in_force()), shown, reader.rules.matches())


@lru_cache(maxsize=1)
def _read(texts: tuple[RuleText, ...]) -> RulesShown:
    return RulesShown.of(texts)
