"""The options of the page's form as rules, its lists and its criteria."""

import pytest

from query.errors import InvalidKey
from query.matches import SeriesMatch, StudyMatch
from safelight.errors import ListError
from safelight.page_archive import _criteria, filter_rules, numbers_of
from safelight.retrieve_filters import read_filter
from web_status.archive import Sought, Wanted

STUDY = StudyMatch("1.2", "A1", "20260101", "", "Knee", ("MR",), "P1", "X", "", "", 1, 24)


def judged(wanted, modality="MR", description="T2", instances=24):
    series = SeriesMatch("1.2", "1.2.3", 1, modality, description, "", instances)
    return read_filter(filter_rules(wanted)).judge(STUDY, series)


def test_without_options_there_is_no_rule():
    assert filter_rules(Wanted("A1")) == ()


@pytest.mark.parametrize(
    ("wanted", "series", "reason"),
    [
        (Wanted("A1", modalities="mr, CT"), {}, ""),
        (Wanted("A1", modalities="mr, CT"), {"modality": "US"}, "Modalities: not MR or CT"),
        (Wanted("A1", least="24"), {}, ""),
        (Wanted("A1", least="25"), {}, "Least instances: fewer than 25 instances"),
        (Wanted("A1", no_derived=True), {}, ""),
        (Wanted("A1", no_derived=True), {"description": "cor MPR"}, "derived, or a scout"),
        (Wanted("A1", no_derived=True), {"description": "MPR", "modality": "DX"}, ""),
    ],
)
def test_options_leave_series_out(wanted, series, reason):
    assert judged(wanted, **series).endswith(reason)
    assert bool(judged(wanted, **series)) is bool(reason)


@pytest.mark.parametrize("least", ["0", "-1", "many", "1.5", "9999999"])
def test_a_least_number_that_is_none_is_refused(least):
    with pytest.raises(ValueError, match="expected a number of instances from 1"):
        filter_rules(Wanted("A1", least=least))


def test_lists_are_read_by_their_ending():
    assert numbers_of("x.CSV", b"AccessionNumber,Age\nA1,5\nA2,6\n") == ("A1", "A2")
    with pytest.raises(ListError, match=r"expected a .txt, .csv or .xlsx file"):
        numbers_of("../../x.pdf", b"A1")


def test_what_is_sought_becomes_criteria():
    found = _criteria(Sought(accession="007", first_day="2026-01-31", modality="mr"))
    assert (found.accession_number, found.modality) == ("007", "MR")
    assert str(found.study_date.first) == "2026-01-31"
    with pytest.raises(InvalidKey, match="expected a day as 2026-01-31"):
        _criteria(Sought(first_day="31.1.2026"))
    with pytest.raises(InvalidKey):
        _criteria(Sought())
