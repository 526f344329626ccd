"""Says what a retrieve would fetch, and what rules leave out; nothing else is asked for."""

from collections.abc import Iterator, Sequence

from rich.console import Console

from listener.part10 import silence_dicom_libraries
from safelight.config import Config
from safelight.expecting import ExpectedStudy, enquiry_of
from safelight.holdings import Held
from safelight.retrieve_filters import read_filter
from safelight.retrieve_orders import Wish, table_of


def dry_run_of(config: Config, wish: Wish) -> int:
    """Print what would be fetched, and what rules leave out; ask for nothing else."""
    silence_dicom_libraries()
    texts = wish.rule_texts(config)
    pacs = wish.asked(config)
    enquiry = enquiry_of(pacs, config.dicom.ae_title, read_filter(texts), wish.by or pacs.retrieve)
    held = Held(config.storage.spool)
    table = table_of("accession", "series", "", "description", "instances", "here", "then")
    absent = 0
    for number in wish.accession_numbers():
        studies = [enquiry.expected(study) for study in enquiry.studies(number)]
        absent += not studies
        for row in _dry_rows(number, studies, held):
            table.add_row(*row)
    Console().print(table, highlight=False)
    return 1 if absent else 0


def _dry_rows(
    number: str, studies: Sequence[ExpectedStudy], held: Held
) -> Iterator[tuple[str, ...]]:
    if not studies:
        yield number, "", "", "", "", "", "the PACS has no study of it"
    for study in studies:
        if not study.series:
            yield number, "?", "", study.match.StudyDescription, "?", "", "fetched; not listed"
        for one in study.series:
            match = one.match
            here, expected = held.received(one), one.listed.expected
            then = "here already" if held.is_here(one) else "fetched"
            yield (
                *(number, str(match.SeriesNumber or "?"), match.Modality, match.SeriesDescription),
                *("?" if expected is None else str(expected), str(here)),
                f"left out: {one.left_out}" if one.left_out else then,
            )
