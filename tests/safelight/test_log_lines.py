"""Log lines: what is in them, and what is not, for the journal, for a terminal, for a program."""

import io
import json
import logging
import os

import pytest

from listener.log_ids import log_ids, logged_as
from safelight.log_lines import LoggingSettings, PlainLines, goes_to_journal, lines_for


@pytest.fixture
def said():
    """Function that returns what a formatter makes of a call of a logger, as it is written."""

    def line(formatter, level, *message, **more):
        stream = io.StringIO()
        logger = logging.getLogger("safelight.test")
        logger.setLevel(logging.DEBUG)
        handler = logging.StreamHandler(stream)
        handler.setFormatter(formatter)
        logger.addHandler(handler)
        logger.log(level, *message, **more)
        logger.removeHandler(handler)
        return stream.getvalue()

    return line


def failing():
    """An error whose message names a patient, after another of the same kind."""
    try:
        _fail()
    except ValueError as error:
        return error


def _fail():
    try:
        return {}["DOE^JANE"]
    except KeyError as error:
        raise ValueError("no value 'DOE^JANE'\nof (0010,0010)") from error


JSON = lines_for(LoggingSettings("json"), in_journal=False)
PLAIN = lines_for(LoggingSettings(), in_journal=False)


def test_a_json_line_has_who_said_what_and_when(said):
    line = json.loads(said(JSON, logging.WARNING, "job %d: %s", 12, "slow"))
    at = line.pop("time")
    assert (at[10], at[-6:]) == ("T", "+00:00")
    assert line == {
        "level": "warning",
        "logger": "safelight.test",
        "process": "safelight",
        "message": "job 12: slow",
    }


def test_what_a_line_belongs_to_is_in_it_without_being_passed_along(said):
    with logged_as(job=12), logged_as(series=7):
        assert json.loads(said(JSON, logging.INFO, "done"))["job"] == 12
        assert said(PLAIN, logging.INFO, "done").endswith(
            "INFO safelight.test: done [job=12 series=7]\n"
        )
    assert dict(log_ids()) == {}
    assert "job" not in json.loads(said(JSON, logging.INFO, "done"))


@pytest.mark.parametrize("formatter", [JSON, PLAIN, PlainLines(is_utc=True)])
def test_an_error_is_one_line_with_types_and_places_and_without_its_message(said, formatter):
    line = said(formatter, logging.ERROR, "failed", exc_info=failing())
    assert line.count("\n") == 1
    assert "ValueError at test_log_lines.py:" in line
    assert "after KeyError at test_log_lines.py:" in line
    assert "DOE" not in line


def test_a_message_of_several_lines_becomes_one(said):
    assert said(PLAIN, logging.INFO, "a\nb").endswith("safelight.test: a b\n")
    assert json.loads(said(JSON, logging.INFO, "a\nb"))["message"] == "a\nb"


def test_the_journal_gets_json_behind_the_priority_of_each_line(said):
    formatter = lines_for(LoggingSettings(), in_journal=True)
    levels = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3}
    for level, number in levels.items():
        line = said(formatter, level, "x")
        assert line.startswith(f"<{number}>{{")
        assert json.loads(line[3:])["message"] == "x"


def test_plain_lines_for_the_journal_leave_the_time_to_it(said):
    formatter = lines_for(LoggingSettings("plain"), in_journal=True)
    assert said(formatter, logging.ERROR, "x") == "<3>ERROR safelight.test: x\n"


def test_only_the_stream_that_systemd_named_goes_to_the_journal(tmp_path):
    with (tmp_path / "stream").open("w") as stream:
        status = os.fstat(stream.fileno())
        named = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        assert goes_to_journal(stream, named)
        assert not goes_to_journal(stream, {"JOURNAL_STREAM": "8:12345"})
        assert not goes_to_journal(stream, {})
    assert not goes_to_journal(io.StringIO(), named)
