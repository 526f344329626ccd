r"""What goes into an identifier, and what is refused before anything is sent.

Not covered: how archives match what is sent (test_client_with_real_peers.py).
"""

import re
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from query.errors import InvalidKey
from query.identifiers import (
    Selection,
    instance_identifier,
    retrieve_identifier,
    series_identifier,
    study_identifier,
)
from query.keys import (
    DateRange,
    StudyCriteria,
    Wildcard,
    check_modality,
    check_uid,
    date_key,
    meets,
    sent_key,
)


def matches_as_dicom_does(key: str, text: str) -> bool:
    """Wildcard matching of PS3.4 C.2.2.2.4, written from the standard's text."""
    parts = {"*": ".*", "?": "."}
    pattern = "".join(parts.get(character, re.escape(character)) for character in key)
    return re.fullmatch(pattern, text, re.DOTALL) is not None


printable = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=16)


@given(printable)
def test_the_key_sent_for_a_literal_always_matches_that_literal(text):
    key = sent_key(text)

    assert matches_as_dicom_does(key, text)
    assert "\\" not in key
    assert key.isascii()


@given(printable, printable)
def test_a_literal_is_met_by_itself_alone(wanted, other):
    assert meets(wanted, wanted)
    assert meets(wanted, other) == (wanted.casefold() == other.casefold())


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("CT*", "CT chest", True),
        ("CT*", "ct chest ", True),
        ("C?", "CT", True),
        ("C?", "CTA", False),
        ("[ab]*", "[ab] x", True),
        ("[ab]*", "a x", False),
    ],
)
def test_a_pattern_knows_no_other_wildcards_than_star_and_question_mark(pattern, text, expected):
    assert meets(Wildcard(pattern), text) is expected


@pytest.mark.parametrize(
    "criteria",
    [
        {},
        {"patient_id": ""},
        {"patient_id": "  "},
        {"patient_id": Wildcard("*")},
        {"patient_id": Wildcard("A\\B*")},
        {"patient_id": "A\nB"},
        {"accession_number": "1" * 17},
        {"description": "x" * 65},
        {"modality": "C*"},
        {"modality": "CT\\MR"},
        {"modality": ""},
    ],
)
def test_criteria_that_cannot_be_sent_as_meant_are_refused(criteria):
    with pytest.raises(InvalidKey):
        StudyCriteria(**criteria)


def test_a_refusal_names_the_key_and_not_its_value():
    with pytest.raises(InvalidKey, match="AccessionNumber") as refused:
        StudyCriteria(accession_number="SECRET-NUMBER-TOO-LONG")

    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize("uid", ["", "1.2.*", "1.2?", "1.2\\1.3", "1..2", "1.2.", "a.b", "1" * 65])
def test_a_uid_with_anything_but_digits_and_dots_is_refused(uid):
    with pytest.raises(InvalidKey):
        check_uid(uid)
    with pytest.raises(InvalidKey):
        Selection(uid)
    with pytest.raises(InvalidKey):
        series_identifier(uid, None)


def test_a_modality_is_a_code_string():
    assert check_modality("PT") == "PT"
    with pytest.raises(InvalidKey):
        check_modality("pt")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (date(2026, 3, 1), "20260301"),
        (DateRange(date(2026, 3, 1), date(2026, 3, 9)), "20260301-20260309"),
        (DateRange(date(2026, 3, 1)), "20260301-"),
        (DateRange(last=date(1999, 12, 31)), "-19991231"),
        (date(987, 1, 2), "09870102"),
    ],
)
def test_dates_are_written_as_dicom_ranges(value, expected):
    assert date_key(value) == expected


def test_a_range_without_ends_or_backwards_is_refused():
    with pytest.raises(InvalidKey):
        DateRange()
    with pytest.raises(InvalidKey, match="2026-03-01 is before 2026-03-02"):
        DateRange(date(2026, 3, 2), date(2026, 3, 1))


def test_a_study_identifier_carries_the_keys_and_asks_for_the_rest():
    identifier = study_identifier(
        StudyCriteria(accession_number="A?1", study_date=date(2026, 3, 1), modality="CT")
    )

    assert identifier.QueryRetrieveLevel == "STUDY"
    assert identifier.AccessionNumber == "A?1"
    assert identifier.StudyDate == "20260301"
    assert identifier.ModalitiesInStudy == "CT"
    assert identifier.PatientID == ""
    assert identifier.StudyInstanceUID == ""


@pytest.mark.parametrize(
    ("selection", "level"),
    [
        (Selection("1.2.3"), "STUDY"),
        (Selection("1.2.3", "1.2.4"), "SERIES"),
        (Selection("1.2.3", "1.2.4", "1.2.5"), "IMAGE"),
    ],
)
def test_a_retrieve_identifier_carries_the_level_and_its_unique_keys_only(selection, level):
    identifier = retrieve_identifier(selection)

    assert identifier.QueryRetrieveLevel == level
    keywords = ["SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID"]
    assert {element.keyword for element in identifier} == {
        "QueryRetrieveLevel",
        *(keyword for keyword in keywords if getattr(selection, keyword)),
    }


def test_an_instance_is_not_selected_without_its_series():
    with pytest.raises(ValueError, match="SeriesInstanceUID"):
        Selection("1.2.3", "", "1.2.5")


def test_an_instance_identifier_refuses_what_is_no_uid():
    with pytest.raises(InvalidKey):
        instance_identifier("1.2.3", "1.2.*")
