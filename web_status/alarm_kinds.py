"""The kinds of alarms there are; `web_status.alarms` raises them, notifications choose by them."""

from typing import Literal, get_args

AlarmKind = Literal[
    "held",
    "backup",
    "disk",
    "audit",
    "attention",
    "silent",
    "quarantine",
    "refusals",
    "undelivered",
]
"""
held         processing or retrieves wait: paused, no room, or outputs cannot be written
backup       the last backup of the ledger failed
disk         the disk is nearly full
audit        the audit trail does not reach its syslog server
attention    something was given up, failed or could not be decided
silent       a sender that should send does not
quarantine   files are in quarantine
refusals     instances were refused in the last 24 hours
undelivered  notifications were given up
"""
ALARM_KINDS: tuple[AlarmKind, ...] = get_args(AlarmKind)
