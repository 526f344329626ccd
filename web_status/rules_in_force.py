"""The rules in force, as their page shows them."""

from dataclasses import dataclass, field

from ledger.reader import LedgerReader
from ledger.rule_reader import Matches
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
    version = reader.rules.in_force()
    shown = RulesShown() if version is None else RulesShown.of(version.texts)
    return InForce(RulesState(*reader.rules_in_force()), shown, reader.rules.matches())
