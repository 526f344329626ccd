"""Series whose retrieve list says what is made of them.

Not covered: who fetches them (tests/acceptance/test_pacs.py).
"""

from dataclasses import replace

import pytest

from ledger.retrieve_records import RetrieveOrder
from query.settings import PacsSettings
from safelight.cli import cli
from safelight.errors import ConfigError
from safelight.list_rules import rule_text
from safelight.retrieve_orders import Wish

DROP_CT = '[[rule]]\nname = "No CT"\nmatch = { Modality = "CT" }\nthen = { drop = "not wanted" }\n'
KEEP_US = '[[rule]]\nname = "US"\nmatch = { Modality = "US" }\nthen = { keep = "as it is" }\n'
CHECK = '[[rule]]\nname = "Check"\nrun = { qc = {} }\n'
SEND = '[[rule]]\nname = "Send"\nrun = { forward = { to = "pacs" } }\n'
LIST_1 = "Retrieve list 1 -> convert, qc"


@pytest.fixture
def order(site):
    """Function that orders a list of the accession number of all series here."""

    def add(rule=None, number="A1", key="k"):
        rule = rule_text("npz", ["convert", "qc"]) if rule is None else rule
        return site.ledger.retrieves.add(RetrieveOrder(key, "main", (number,), rule=rule))

    return add


def test_the_rule_of_a_list_stands_in_place_of_the_rules_that_process(site, order):
    order()
    site.write_rules(CHECK)
    site.start()
    series = site.take()
    assert site.outcome(series) == ("process", LIST_1)
    assert [reason["rule"] for reason in site.reasons(series)] == ["Retrieve list 1"]
    (job,) = site.claim()
    assert [(step.processor, dict(step.options)) for step in job.steps] == [
        ("convert", {"format": "npz"}),
        ("qc", {}),
    ]


@pytest.mark.parametrize(
    ("modality", "said"), [("CT", "No CT: not wanted"), ("US", "US: as it is"), ("MR", LIST_1)]
)
def test_what_the_site_drops_or_keeps_stays_so(site, order, modality, said):
    order()
    site.write_rules(KEEP_US + CHECK + DROP_CT)
    site.start()
    assert site.outcome(site.take(Modality=modality))[1] == said


@pytest.mark.parametrize(
    ("rule", "number"), [("", "A1"), (None, "A2")], ids=["no rule", "another study"]
)
def test_series_of_no_such_list_are_decided_by_the_site(site, order, rule, number):
    order(rule, number)
    site.start()
    assert site.outcome(site.take())[1] == "Check -> qc"


def test_the_latest_list_counts_and_a_cancelled_one_does_not(site, order):
    order(rule_text("", ["preview"]))
    latest = order(key="second")
    site.start()
    assert site.outcome(site.take())[1] == "Retrieve list 2 -> convert, qc"
    site.ledger.retrieves.cancel(latest)
    assert site.outcome(site.take(series="1.9"))[1] == "Retrieve list 1 -> preview"


def test_rules_that_forward_go_on(site, order):
    order()
    site.config = replace(site.config, pacs=(PacsSettings("pacs", "PACS", "127.0.0.1", 11112),))
    site.write_rules(CHECK + SEND)
    site.start()
    assert site.outcome(site.take())[1] == f"{LIST_1}; Send -> forward"


def test_no_list_takes_the_place_of_rules_that_de_identify(site, order):
    order()
    site.write_rules(
        CHECK + '[[rule]]\nname = "Research"\nrun = { deidentify = {}, convert = {} }\n'
    )
    site.start()
    assert site.outcome(site.take())[1] == "Check -> qc; Research -> deidentify, convert"


def test_an_order_that_says_what_is_made_is_refused_where_the_site_de_identifies(site):
    wish = Wish(("A1",), None, None, None, None, 0, None, output_format="npz")
    assert wish.own_rule(site.config) == rule_text("npz", [])
    site.write_rules('[[rule]]\nname = "Research"\nrun = { deidentify = {}, convert = {} }\n')
    with pytest.raises(ConfigError, match="de-identify"):
        wish.own_rule(site.config)
    assert replace(wish, output_format="").own_rule(site.config) == ""


def test_what_was_here_before_the_list_is_decided_anew_when_the_list_has_found_it(site, order):
    site.start()
    here, of_another = site.take(), site.take(study="7", series="7.7", AccessionNumber="B1")
    order()
    site.start().retrieved(["1.2.3.4", "7.7", "9.9"])
    assert site.outcome(here) == ("process", LIST_1)
    assert site.outcome(of_another) == ("process", "Check -> qc")
    assert [job.rule for job in site.claim()] == ["Check", "Retrieve list 1"]


def test_a_rule_of_a_list_that_cannot_be_read_holds_the_series(site, order):
    order('[[rule]]\nname = "Retrieve list"\nrun = { dream = {} }\n')
    site.start()
    outcome, summary = site.outcome(site.take())
    assert (outcome, "Retrieve list 1" in summary) == ("hold", True)


def test_explain_and_replay_know_the_rule_of_the_list(site, order, capsys):
    order()
    site.write_rules(CHECK)
    site.start()
    number = site.take()
    config = ("--config", str(site.folder / "safelight.toml"))
    cli(["rules", "explain", str(number), *config], standalone_mode=False)
    assert f"-> process: {LIST_1}" in capsys.readouterr().out
    draft = site.folder / "draft.toml"
    draft.write_text('[[rule]]\nname = "Other"\nrun = { preview = {} }\n')
    cli(["rules", "replay", "--since", "1d", "--rules", str(draft), *config], standalone_mode=False)
    assert "     1  unchanged" in capsys.readouterr().out


def test_a_format_alone_makes_all_and_nothing_chosen_is_no_rule():
    assert rule_text("", []) == ""
    assert rule_text("npz", []) == rule_text("npz", ["metadata", "preview", "qc", "convert"])
    assert 'format = "nifti"' in rule_text("", ["convert"])


@pytest.mark.parametrize(
    ("output_format", "run", "problem"),
    [
        ("", ["dream"], "dream: expected some of convert, qc, preview, metadata"),
        ("dicom", [], "dicom: expected one of nifti, npz"),
        ("npz", ["qc"], "nothing is made in npz without convert"),
    ],
)
def test_what_cannot_be_made_is_refused(output_format, run, problem):
    with pytest.raises(ValueError, match=problem):
        rule_text(output_format, run)
