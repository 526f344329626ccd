"""Says what a retrieve would fetch, and what rules leave out; nothing else is asked for."""

import dataclasses
from collections.abc import Iterator, Sequence

from rich.console import Console

from listener.part10 import silence_dicom_libraries
from safelight.config import Config
from safelight.expecting import ExpectedStudy, enquiry_of
from safelight.holdings import Held
from safelight.retrieve_filters import read_filter
from safelight.retrieve_orders import Wish, table_of
from web_status.archive import PlannedSeries

_ABSENT = "the PACS has no study of it"


def dry_run_of(config: Config, wish: Wish) -> int:
    """Print what would be fetched, and what rules leave out; ask for nothing else."""
    table = table_of("accession", "series", "", "description", "instances", "here", "then")
    planned = plan_of(config, wish)
    for one in planned:
        table.add_row(*dataclasses.astuple(one))
    Console().print(table, highlight=False)
    return 1 if any(one.then == _ABSENT for one in planned) else 0


def plan_of(config: Config, wish: Wish) -> tuple[PlannedSeries, ...]:
    """What would be fetched, and what rules leave out.

    Raises
    ------
    QueryError, ConfigError, ListError, RuleError
        The PACS does not answer, or the wish is none.
    """
    silence_dicom_libraries()
    texts = wish.rule_texts(config)
    pacs = wish.asked(config)
    wish.own_rule(config)  # what is wrong with it is told before the order
    enquiry = enquiry_of(pacs, config.dicom.ae_title, read_filter(texts), wish.by or pacs.retrieve)
    held = Held(config.storage.spool)
    planned: list[PlannedSeries] = []
    for number in wish.accession_numbers():
        studies = [enquiry.expected(study) for study in enquiry.studies(number)]
        planned += _planned(number, studies, held)
    return tuple(planned)


def _planned(number: str, studies: Sequence[ExpectedStudy], held: Held) -> Iterator[PlannedSeries]:
    if not studies:
        yield PlannedSeries(number, "", "", "", "", "", _ABSENT)
    for study in studies:
        if not study.series:
            description = study.match.StudyDescription
            yield PlannedSeries(number, "?", "", description, "?", "", "fetched; not listed")
        for one in study.series:
            match = one.match
            here, expected = held.received(one), one.listed.expected
            then = "here already" if held.is_here(one) else "fetched"
            yield PlannedSeries(
                *(number, str(match.SeriesNumber or "?"), match.Modality, match.SeriesDescription),
                *("?" if expected is None else str(expected), str(here)),
                f"left out: {one.left_out}" if one.left_out else then,
            )
