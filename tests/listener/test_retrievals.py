"""The files that a retrieval leaves in the spool."""

import os

import pytest

from listener.retrievals import ListedSeries, Retrieval, Retrievals

LISTED = Retrieval(
    "1.2",
    "PACS1",
    {"1.2.3": ListedSeries(2, frozenset({"1", "2"})), "1.2.4": ListedSeries()},
    ended=True,
    sent=7,
)


def test_a_retrieval_is_read_as_it_was_noted(tmp_path):
    Retrievals(tmp_path).note(LISTED)
    assert Retrievals(tmp_path).of("1.2") == LISTED


def test_a_later_retrieval_of_the_study_replaces_the_earlier(tmp_path):
    retrievals = Retrievals(tmp_path)
    retrievals.note(Retrieval("1.2", "PACS1", {}))
    assert retrievals.of("1.2").ended is False
    retrievals.note(LISTED)
    assert retrievals.of("1.2") == LISTED


def test_a_study_that_was_not_retrieved_has_none(tmp_path):
    assert Retrievals(tmp_path).of("1.2") is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"series": []}',
        b'{"series": {"1": 3}}',
        b'{"series": {"1": {"count": "two", "sop_instance_uids": []}}}',
        b'{"StudyInstanceUID": "1.2", "pacs": "A", "series": {}, "ended": true, "sent": "all"}',
    ],
)
def test_a_damaged_file_is_no_evidence_and_is_said_once(tmp_path, caplog, content):
    retrievals = Retrievals(tmp_path)
    (tmp_path / "retrievals" / "1.2.json").write_bytes(content)
    assert retrievals.of("1.2") is None
    assert retrievals.of("1.2") is None
    assert len(caplog.records) == 1


def test_a_spool_that_cannot_be_written_is_an_error_that_leaves_nothing(tmp_path, monkeypatch):
    retrievals = Retrievals(tmp_path)

    def fail(_descriptor):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output error"):
        retrievals.note(LISTED)
    assert list((tmp_path / "retrievals").iterdir()) == []
