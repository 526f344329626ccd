"""The alert rules of docs/operations, run by Prometheus' own tool against made-up series.

Whether a node has the metrics they name is in tests/acceptance/test_operations.py.
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from safelight.cli import cli

DOCS = Path(__file__).parents[2] / "docs"
RULES = DOCS / "operations" / "alerts.yml"
TEXT = RULES.read_text()
NAMES = re.findall(r"- alert: (\w+)", TEXT)

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="needs promtool (apt: prometheus)"
)

# What a node says that is well, each a value every minute: of counters, how they grow.
WELL = {
    'up{job="safelight"}': "1x180",
    'safelight_process_up{process="coordinator"}': "1x180",
    'safelight_process_starts_total{process="coordinator"}': "1x180",
    "safelight_watchdog_age_seconds": "1x180",
    "safelight_ledger_readable": "1x180",
    "safelight_ledger_lag_seconds": "0x180",
    'safelight_disk_stage{stage="ample"}': "1x180",
    'safelight_disk_stage{stage="warn"}': "0x180",
    'safelight_disk_stage{stage="pause_retrieves"}': "0x180",
    'safelight_disk_stage{stage="pause_processing"}': "0x180",
    'safelight_disk_stage{stage="refuse"}': "0x180",
    "safelight_disk_lasts_seconds": "9000000x180",
    'safelight_alarms{kind="held"}': "0x180",
    'safelight_alarms{kind="silent"}': "0x180",
    'safelight_alarms{kind="backup"}': "0x180",
    'safelight_alarms{kind="audit"}': "0x180",
    'safelight_alarms{kind="undelivered"}': "0x180",
    'safelight_jobs{state="dead"}': "0x180",
    'safelight_job_runs_total{outcome="tried_again"}': "0x180",
    'safelight_queue_oldest_seconds{queue="jobs"}': "60x180",
    'safelight_queue_oldest_seconds{queue="forwards"}': "60x180",
    'safelight_queue_oldest_seconds{queue="commitments"}': "60x180",
    'safelight_queue_oldest_seconds{queue="retrieves"}': "60x180",
    "safelight_quarantined_files_total": "3x180",
    'safelight_rejections_total{cause="limit"}': "5x180",
    "safelight_refusals_total": "5x180",
    'safelight_associations_total{outcome="aborted"}': "5x180",
    "safelight_attention": "0x180",
}
# What goes wrong, and the alert that says so after three hours (of what must last a day: two days).
WRONG = {
    "SafelightUnreachable": ('up{job="safelight"}', "0x180"),
    "SafelightProcessDown": ('safelight_process_up{process="coordinator"}', "0x180"),
    "SafelightProcessRestarts": (
        'safelight_process_starts_total{process="coordinator"}',
        "1+0.5x180",
    ),
    "SafelightWatchdogLate": ("safelight_watchdog_age_seconds", "60x180"),
    "SafelightLedgerUnreadable": ("safelight_ledger_readable", "0x180"),
    "SafelightLedgerBehind": ("safelight_ledger_lag_seconds", "400x180"),
    "SafelightRefusesInstances": ('safelight_disk_stage{stage="refuse"}', "1x180"),
    "SafelightHeldByDisk": ('safelight_disk_stage{stage="pause_processing"}', "1x180"),
    "SafelightDiskFillsUp": ("safelight_disk_lasts_seconds", "86400x180"),
    "SafelightWorkHeld": ('safelight_alarms{kind="held"}', "1x180"),
    "SafelightDeadJobs": ('safelight_jobs{state="dead"}', "2x180"),
    "SafelightJobsCrash": ('safelight_job_runs_total{outcome="tried_again"}', "0+1x180"),
    "SafelightJobsWait": ('safelight_queue_oldest_seconds{queue="jobs"}', "20000x180"),
    "SafelightForwardsWait": ('safelight_queue_oldest_seconds{queue="forwards"}', "4000x180"),
    "SafelightCommitmentsWait": ('safelight_queue_oldest_seconds{queue="commitments"}', "4000x180"),
    "SafelightRetrievesWait": ('safelight_queue_oldest_seconds{queue="retrieves"}', "200000x180"),
    "SafelightSenderSilent": ('safelight_alarms{kind="silent"}', "1x180"),
    "SafelightBackupFailed": ('safelight_alarms{kind="backup"}', "1x180"),
    "SafelightAuditLate": ('safelight_alarms{kind="audit"}', "1x180"),
    "SafelightUndelivered": ('safelight_alarms{kind="undelivered"}', "1x180"),
    "SafelightQuarantine": ("safelight_quarantined_files_total", "3+1x180"),
    "SafelightRejections": ('safelight_rejections_total{cause="limit"}', "5+2x180"),
    "SafelightRefusals": ("safelight_refusals_total", "5+1x180"),
    "SafelightAssociationsBreakOff": (
        'safelight_associations_total{outcome="aborted"}',
        "5+3x180",
    ),
    "SafelightNeedsAPerson": ("safelight_attention", "1x2880"),
}
FIRING = 'count by (alertname) (ALERTS{alertstate="firing"})'


def promtool(*arguments):
    return subprocess.run(
        ["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=300, check=False
    )


def case(name, series, after, *alerts):
    expected = [{"labels": f'{{alertname="{alert}"}}', "value": 1} for alert in alerts]
    return {
        "name": name,
        "interval": "1m",
        "input_series": [{"series": key, "values": value} for key, value in series.items()],
        "promql_expr_test": [{"expr": FIRING, "eval_time": after, "exp_samples": expected}],
    }


@needs_promtool
def test_a_node_that_is_well_raises_nothing_and_each_fault_its_own_alert(tmp_path):
    cases = [case("well", WELL, "3h")]
    for alert, (series, values) in WRONG.items():
        after = "2d" if values.endswith("x2880") else "3h"
        given = {series: values} if after == "2d" else {**WELL, series: values}
        cases.append(case(alert, given, after, alert))
    file = tmp_path / "cases.yml"
    # JSON is YAML.
    file.write_text(json.dumps({"rule_files": [str(RULES)], "tests": cases}))
    tested = promtool("test", "rules", file)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@needs_promtool
def test_prometheus_takes_the_rules():
    checked = promtool("check", "rules", RULES)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_every_alert_is_tried_out():
    assert list(WRONG) == NAMES


def test_every_alert_leads_to_a_section_that_exists():
    headings = re.findall(r"^## (.+)$", (DOCS / "operations.md").read_text(), re.MULTILINE)
    anchors = {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in headings}
    linked = re.findall(r"runbook: docs/operations\.md#(\S+)", TEXT)
    assert len(linked) == len(NAMES)
    assert set(linked) <= anchors


def test_every_command_of_a_remedy_exists():
    named = set(re.findall(r"`safelight ([a-z]+)", TEXT))
    assert {"status", "jobs", "doctor", "resume", "echo", "retrieves", "pause"} <= named
    assert named <= set(cli.commands)
