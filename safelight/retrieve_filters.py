"""Rules that leave series out before they are transferred, judged on what a PACS tells of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from processor.registry import KINDS
from query.matches import InstanceMatch, SeriesMatch, StudyMatch
from rules.errors import RuleError
from rules.model import Rule, SeriesFacts, Value, Values
from rules.parse import parse_rules
from rules.texts import RuleText

_STUDY_ELEMENTS = ("AccessionNumber", "PatientID", "StudyDate", "StudyDescription")
_SERIES_ELEMENTS = ("Modality", "SeriesNumber", "SeriesDescription", "BodyPartExamined")
IMAGE_TYPE = "ImageType"
_FACTS = ("instances", "study_modalities", "study_series", "study_instances")
TOLD = (*_STUDY_ELEMENTS, *_SERIES_ELEMENTS, IMAGE_TYPE, *_FACTS)
"""What a PACS can tell before the transfer, and so all that these rules may ask for."""


@dataclass(frozen=True)
class Filter:
    """The rules of a retrieve list, in their order; without any, everything is fetched.

    A rule that cannot be judged, because the PACS does not tell what it asks for, leaves nothing
    out: what may be wanted is fetched.
    """

    rules: tuple[Rule, ...] = ()

    @property
    def asks_for_image_type(self) -> bool:
        """Whether a rule asks for ImageType, which is not told at the SERIES level."""
        return any(name == IMAGE_TYPE for rule in self.rules for name, _ in rule.match.names())

    def judge(
        self, study: StudyMatch, series: SeriesMatch, instances: Sequence[InstanceMatch] = ()
    ) -> str:
        """The rule that leaves a series out, with its reason; empty where it is to be fetched."""
        facts = _facts(study, series, instances)
        for rule in self.rules:
            if rule.ending is not None and rule.match.judge(facts)[0] == "yes":
                is_dropped = rule.ending.outcome == "drop"
                return f"{rule.name}: {rule.ending.reason}" if is_dropped else ""
        return ""


def read_filter(texts: Sequence[tuple[str, str]]) -> Filter:
    """Read the rules of a retrieve list from their texts.

    Raises
    ------
    RuleError
        One is no rule, does something else than drop or keep, or asks for what no PACS tells.
    """
    found = []
    for source, text in texts:
        for rule in parse_rules([RuleText(source, text)], KINDS):
            _require_judgeable(source, rule)
            found.append(rule)
    return Filter(tuple(rule for rule in found if rule.enabled))


def _require_judgeable(source: str, rule: Rule) -> None:
    if rule.ending is None or rule.ending.outcome == "hold":
        problem = "before a transfer a series is left out or fetched: expected then.drop, then.keep"
        raise RuleError(source, rule.name, "run" if rule.steps else "then", problem)
    for name, _ in rule.match.names():
        if name not in TOLD:
            known = ", ".join(TOLD)
            problem = f"no PACS tells it before the transfer; it can tell {known}"
            raise RuleError(source, rule.name, f"match.{name}", problem)


def _facts(
    study: StudyMatch, series: SeriesMatch, instances: Sequence[InstanceMatch]
) -> SeriesFacts:
    counted = len(instances) or series.NumberOfSeriesRelatedInstances
    elements: Mapping[str, Values] = {
        **{name: _values(getattr(study, name)) for name in _STUDY_ELEMENTS},
        **{name: _values(getattr(series, name)) for name in _SERIES_ELEMENTS},
        IMAGE_TYPE: _image_type(instances),
    }
    facts: Mapping[str, Values] = {
        "instances": _values(counted),
        "study_modalities": study.ModalitiesInStudy,
        "study_series": _values(study.NumberOfStudyRelatedSeries),
        "study_instances": _values(study.NumberOfStudyRelatedInstances),
    }
    return SeriesFacts(_present(elements), _present(facts))


def _image_type(instances: Sequence[InstanceMatch]) -> Values:
    """That of the first instance by number, as rules see a series that is here."""
    numbered = sorted(instances, key=lambda one: one.InstanceNumber or 0)
    return numbered[0].ImageType if numbered else ()


def _values(value: str | int | None) -> Values:
    if value is None or value == "":
        return ()
    one: Value = float(value) if isinstance(value, int) else value
    return (one,)


def _present(values: Mapping[str, Values]) -> Mapping[str, Values]:
    return MappingProxyType({name: value for name, value in values.items() if value})
