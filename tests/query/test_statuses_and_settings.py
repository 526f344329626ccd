"""The tables of statuses can be shown to a person, and impossible settings are refused.

Not covered: whether the tables are complete; they hold what the standard lists.
"""

import pytest

from query import statuses
from query.settings import PacsSettings

NAMES = {
    "calling_ae": "SAFELIGHT",
    "destination_ae": "DEST",
    "destination_host": "10.1.2.9",
    "destination_port": 11112,
}


@pytest.mark.parametrize("meaning_of", [statuses.find_meaning, statuses.move_meaning])
def test_every_status_there_can_be_has_a_meaning_and_a_remedy(meaning_of):
    for status in range(1, 0x10000):
        meaning = meaning_of(status)
        assert meaning.text
        assert meaning.remedy.format(**NAMES)


def test_a_failed_find_needs_no_name_but_ours():
    for status in range(1, 0x10000):
        assert statuses.find_meaning(status).remedy.format(calling_ae="SAFELIGHT")


def test_every_rejection_has_a_meaning_and_a_remedy():
    for source in range(4):
        for reason in range(11):
            meaning = statuses.rejection_meaning(source, reason)
            assert meaning.remedy.format(calling_ae="SAFELIGHT", called_ae="PACS1")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ae_title", "A" * 17),
        ("port", 0),
        ("port", 65536),
        ("host", " "),
        ("max_results", 0),
        ("response_seconds", 0.0),
        ("move_seconds", -1.0),
        ("fallback_charset", "GB-18030"),
    ],
)
def test_an_impossible_setting_is_refused_by_name(key, value):
    values = {"name": "main", "ae_title": "PACS1", "host": "localhost", "port": 104, key: value}

    with pytest.raises(ValueError, match=f"^{key}"):
        PacsSettings(**values)
