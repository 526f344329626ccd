"""What the person on call looks at, of a daemon that receives and processes.

The alert rules themselves are tried out in tests/safelight/test_alerts.py.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import requests

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations"
NAME = re.compile(r"\b(safelight_[a-z_]+|process_[a-z_]+)(?=[{\[ ])")


def exposed(daemon):
    answer = requests.get(f"http://{daemon.web}/metrics", timeout=20)
    assert answer.status_code == 200
    return answer.text


def names_in(text):
    return {line.split("{")[0].split(" ")[0] for line in text.splitlines() if line[:1] != "#"}


def asked_for():
    """The metrics that dashboard and alerts name."""
    dashboard = json.loads((OPERATIONS / "grafana-dashboard.json").read_text())
    questions = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", ())
    ]
    rules = re.findall(r"expr: (.+)", (OPERATIONS / "alerts.yml").read_text())
    names = {name for question in (*questions, *rules) for name in NAME.findall(f"{question} ")}
    assert len(names) > 30
    return names


def test_a_daemon_has_every_metric_that_dashboard_and_alerts_name(lasting_daemon, stack):
    assert lasting_daemon.run_sender(stack()[0].parent).returncode == 0
    lasting_daemon.wait_for_ended(1)
    text = exposed(lasting_daemon)
    # How long the disk lasts is told where something grows, which is summed up once a minute.
    assert asked_for() - names_in(text) <= {"safelight_disk_lasts_seconds"}
    for line in (
        'safelight_received_instances_total{calling_ae="other"} 8.0',
        'safelight_associations_total{outcome="released"} 1.0',
        'safelight_job_runs_total{outcome="done"} 1.0',
        'safelight_process_up{process="coordinator"} 1.0',
        'safelight_process_up{process="receiver-0"} 1.0',
        'safelight_process_starts_total{process="receiver-0"} 1.0',
        "safelight_ledger_lag_seconds 0.0",
        'safelight_disk_stage{stage="refuse"} 0.0',
    ):
        assert line in text, line
    assert "Doe" not in text
    assert "A0001" not in text


@pytest.fixture
def prometheus(lasting_daemon, tmp_path, free_port):
    """Function that asks a Prometheus that watches the daemon by our rules."""
    scrape = {
        "job_name": "safelight",
        "scrape_interval": "1s",
        "scrape_timeout": "1s",
        "static_configs": [{"targets": [lasting_daemon.web]}],
    }
    settings = {"rule_files": [str(OPERATIONS / "alerts.yml")], "scrape_configs": [scrape]}
    config = tmp_path / "prometheus.yml"
    config.write_text(json.dumps({"global": {"evaluation_interval": "1s"}, **settings}))
    address = f"127.0.0.1:{free_port()}"
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}"]
    process = subprocess.Popen(
        [*command, f"--web.listen-address={address}"], stderr=subprocess.DEVNULL, cwd=tmp_path
    )

    def ask(path, **values):
        try:
            answer = requests.get(f"http://{address}/api/v1/{path}", values, timeout=20)
            return answer.json()["data"]
        except (requests.ConnectionError, ValueError):  # it begins
            return {}

    yield ask
    process.terminate()
    process.wait(60)


@pytest.mark.skipif(shutil.which("prometheus") is None, reason="needs prometheus")
def test_a_prometheus_reads_the_daemon_and_raises_no_alert_of_one_that_is_well(
    prometheus, wait_until
):
    def up():
        return prometheus("query", query="safelight_process_up == 1").get("result", ())

    def evaluated():
        groups = prometheus("rules").get("groups", ())
        return [rule for group in groups for rule in group["rules"] if rule["health"] != "unknown"]

    wait_until(lambda: len(up()) == 3, "the daemon to be read")
    wait_until(lambda: len(evaluated()) > 20, "the rules to be evaluated")
    assert {rule["health"] for rule in evaluated()} == {"ok"}
    alerts = prometheus("alerts")["alerts"]
    assert [one["labels"] for one in alerts if one["state"] == "firing"] == []


@pytest.mark.skipif(shutil.which("promtool") is None, reason="needs promtool (apt: prometheus)")
def test_prometheus_own_tool_finds_nothing_to_improve(lasting_daemon):
    checked = subprocess.run(
        ["promtool", "check", "metrics"],
        input=exposed(lasting_daemon),
        text=True,
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
