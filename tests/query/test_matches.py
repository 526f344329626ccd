"""How text and numbers of an answer are read; names of the standard's annexes are tested with the
scripted PACS. Not covered: character sets pydicom does not know.
"""

import pytest

from query.matches import decode_text, failed_sop_uids, series_match, study_match

LATIN_1 = ["ISO_IR 100"]
WANG_IN_GBK = b"\xcd\xf5^\xd0\xa1\xb6\xab"


def test_gbk_under_a_latin_label_is_read_only_where_configured():
    assert decode_text(WANG_IN_GBK, LATIN_1) == "Íõ^Ð¡¶«"
    assert decode_text(WANG_IN_GBK, LATIN_1, "GB18030") == "王^小东"
    assert decode_text(WANG_IN_GBK, [""], "GB18030") == "王^小东"


def test_the_fallback_leaves_alone_what_is_labelled_or_is_not_valid_in_it():
    assert decode_text("Jörg".encode(), ["ISO_IR 192"], "GB18030") == "Jörg"
    assert decode_text(b"Andr\xe9", LATIN_1, "GB18030") == "André"


@pytest.mark.parametrize("charsets", [["ISO_IR 192"], ["NO SUCH SET"], ["", "ISO 2022 IR 58"]])
def test_text_that_cannot_be_decoded_is_still_shown(charsets):
    assert decode_text(b"Lee^\xff\x1b$)Z!", charsets).startswith("Lee^")


def test_control_characters_and_padding_are_removed():
    assert decode_text(b" A\x1b[31mB\r\nC\x00 ", LATIN_1) == "A[31mBC"


def test_an_answer_without_anything_is_a_match_without_anything(answer):
    study = study_match(answer(StudyInstanceUID="1.2.3"))

    assert study.StudyInstanceUID == "1.2.3"
    assert study.AccessionNumber == study.PatientName == study.StudyDate == ""
    assert study.ModalitiesInStudy == ()


def test_a_date_that_is_not_one_is_kept_as_it_is(answer):
    assert study_match(answer(StudyDate=b"2026.3.1")).StudyDate == "2026.3.1"


def test_a_series_number_that_is_not_one_is_unknown(answer):
    assert series_match(answer(SeriesNumber=b"5A")).SeriesNumber is None
    assert series_match(answer(SeriesNumber=b" 5 ")).SeriesNumber == 5


def test_one_and_many_failed_instances_are_listed(answer):
    assert failed_sop_uids(None) == ()
    assert failed_sop_uids(answer()) == ()
    assert failed_sop_uids(answer(FailedSOPInstanceUIDList=b"1.2.3\0")) == ("1.2.3",)
    assert failed_sop_uids(answer(FailedSOPInstanceUIDList=b"1.2\\1.3\0")) == ("1.2", "1.3")
