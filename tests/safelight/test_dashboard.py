"""The dashboard of docs/operations, by what Grafana requires of one. It is not loaded into Grafana.

Whether a node has the metrics it names is in tests/acceptance/test_operations.py.
"""

import itertools
import json
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "docs" / "operations" / "grafana-dashboard.json"


@pytest.fixture(scope="module")
def dashboard():
    """What the file has."""
    return json.loads(FILE.read_text())


def places(panel):
    grid = panel["gridPos"]
    return set(
        itertools.product(
            range(grid["x"], grid["x"] + grid["w"]), range(grid["y"], grid["y"] + grid["h"])
        )
    )


def test_it_has_what_grafana_asks_for_when_it_is_imported(dashboard):
    assert dashboard["schemaVersion"] >= 36  # from then on a datasource is an object
    assert dashboard["uid"] == "safelight"
    assert dashboard["title"] == "Safelight"
    assert "id" not in dashboard  # it belongs to the Grafana that it came from
    assert [one["id"] for one in dashboard["panels"]] == list(
        range(1, len(dashboard["panels"]) + 1)
    )


def test_panels_lie_side_by_side_within_24_columns(dashboard):
    taken = set()
    for panel in dashboard["panels"]:
        here = places(panel)
        assert not taken & here, panel["title"]
        assert max(x for x, _ in here) < 24
        taken |= here


def test_every_question_goes_to_the_datasource_and_the_nodes_that_are_chosen(dashboard):
    variables = {one["name"]: one for one in dashboard["templating"]["list"]}
    assert variables["datasource"]["query"] == "prometheus"
    assert "safelight_info" in variables["instance"]["query"]["query"]
    panels = [one for one in dashboard["panels"] if one["type"] != "row"]
    for panel in panels:
        assert panel["targets"], panel["title"]
        for target in (panel, *panel["targets"]):
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        assert all('instance=~"$instance"' in target["expr"] for target in panel["targets"])
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_every_panel_has_a_unit_so_that_numbers_can_be_read(dashboard):
    for panel in dashboard["panels"]:
        assert panel["type"] == "row" or panel["fieldConfig"]["defaults"]["unit"]
