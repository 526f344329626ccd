"""Settings that check themselves. Reading them from TOML: tests/safelight/test_config.py."""

import doctest

import pytest

import listener.settings
from listener.settings import AcceptRule, require_ae_title


@pytest.mark.parametrize("title", ["", "   ", "A" * 17, "A\\B", "A\nB", "Ä", "A\x1b"])
def test_an_impossible_ae_title_is_refused_with_its_key(title):
    with pytest.raises(ValueError, match=r"^calling_ae: expected an AE title"):
        require_ae_title(title, "calling_ae")


def test_an_accept_rule_is_about_a_title_and_networks_of_both_families():
    rule = AcceptRule("PACS1", ("10.1.2.0/24", "fd00::/8"))
    assert rule.knows("PACS1")
    assert not rule.knows("PACS2")
    assert rule.reaches("10.1.2.9")
    assert rule.reaches("fd00::1")
    assert not rule.reaches("10.1.3.9")
    assert AcceptRule("*", ()).knows("ANY")


def test_the_examples_in_the_docstrings_are_true():
    results = doctest.testmod(listener.settings)
    assert results.attempted > 0
    assert results.failed == 0
