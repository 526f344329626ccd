"""What rules see of a series: its header, as far as a rule asks for it, and what is known of it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydicom.dataset import Dataset

from ledger.cases import Case
from listener.header import Header, read_header
from processor.findings import findings_of
from rules.elements import parse_element
from rules.match import TRANSFER_SYNTAX
from rules.model import Kind, Rule, SeriesFacts, Values


def see_series(case: Case, path: Path, rules: Sequence[Rule]) -> SeriesFacts:
    """What `rules` see of a closed series.

    Parameters
    ----------
    case
        What the ledger knows of it.
    path
        Its first instance.
    rules
        Only elements that these name are looked for beyond the standard ones.

    Raises
    ------
    UnreadableInstance, OSError
        The instance cannot be read.
    """
    series = case.series
    facts: dict[str, Values] = {
        "instances": (float(len(series.sop_instance_uids)),),
        "calling_ae": (series.calling_ae,),
        "called_ae": (series.called_ae,),
        "header_findings": (float(series.header_findings),),
        "study_modalities": case.study_modalities,
        "study_series": (float(case.study_series),),
        "study_instances": (float(case.study_instances),),
        **findings_of(case.found),
    }
    known: Mapping[str, str | int | None] = {
        "grade": series.grade,
        "instances_expected": series.expected,
        "instances_missing": series.missing,
        "study_grade": case.study_grade,
    }
    facts |= {name: _one(value) for name, value in known.items() if value is not None}
    awaited: set[Kind] = {"finding"}
    if case.study_is_arriving:
        awaited.add("study")
    return SeriesFacts(_elements(_read(path, rules)), _present(facts), frozenset(awaited))


def see_file(path: Path, rules: Sequence[Rule]) -> SeriesFacts:
    """What `rules` see of a file as if it were all of its series and of its study.

    There is no grade: how it came is not known.

    Raises
    ------
    UnreadableInstance, OSError
        The file cannot be read.
    """
    header = _read(path, rules)
    facts: dict[str, Values] = {
        "instances": (1.0,),
        "calling_ae": (header.origin.calling_ae,),
        "called_ae": (header.origin.called_ae,),
        "study_modalities": header.values.get("Modality", ()),
        "study_series": (1.0,),
        "study_instances": (1.0,),
    }
    return SeriesFacts(_elements(header), _present(facts), frozenset({"finding"}))


def _one(value: str | int) -> Values:
    return (value if isinstance(value, str) else float(value),)


def _read(path: Path, rules: Sequence[Rule]) -> Header:
    paths = [path for path in map(parse_element, _element_names(rules)) if not path.is_plain]

    def look(dataset: Dataset) -> Mapping[str, Values]:
        found = {path.name: path.values(dataset) for path in paths}
        return {name: values for name, values in found.items() if values}

    return read_header(path, look if paths else None)


def _element_names(rules: Sequence[Rule]) -> set[str]:
    """Every element that a match or a destination of `rules` asks for."""
    matched = {name for rule in rules for name, kind in rule.match.names() if kind == "element"}
    destinations = (rule.destination for rule in rules if rule.destination is not None)
    return matched.union(*(destination.elements for destination in destinations))


def _elements(header: Header) -> Mapping[str, Values]:
    syntax = header.transfer_syntax_uid
    return {**header.values, **({TRANSFER_SYNTAX: (syntax,)} if syntax else {})}


def _present(facts: Mapping[str, Values]) -> Mapping[str, Values]:
    """Facts that say something: an AE title that nobody gave is absent."""
    return {name: values for name, values in facts.items() if values not in ((), ("",))}
