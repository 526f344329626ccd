"""What is wrong with the node, each with what a person can do about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ledger.rows import Overview
from processor.words import count
from web_status.alarm_kinds import AlarmKind
from web_status.languages import msgid
from web_status.network import Silence
from web_status.node import Condition


@dataclass(frozen=True)
class Alarm:
    """Something a person should know.

    Attributes
    ----------
    kind, about
        What it is, and what tells it from others of its kind; it stays the same alarm while
        these do.
    tone
        ``bad`` for what stands still or is lost on the way, ``warn`` for the rest.
    what, remedy
        What is the case, and what to do about it; in English, told where they are shown.
    link, link_words
        Where to look; empty where there is no such place.
    """

    kind: AlarmKind
    tone: str
    what: str
    remedy: str
    link: str = ""
    link_words: str = ""
    about: str = ""


def alarms_of(
    overview: Overview, condition: Condition, silent: Sequence[Silence], *, is_full: bool
) -> tuple[Alarm, ...]:
    """All of them, the worst first."""
    found = (
        *_of_the_node(condition, is_full=is_full),
        *_of_series(overview),
        *_of_senders(silent),
        *_of_reception(overview),
        *_of_notifications(overview),
    )
    return tuple(sorted(found, key=lambda alarm: alarm.tone))


def _of_the_node(condition: Condition, *, is_full: bool) -> Iterator[Alarm]:
    for words in condition.held:
        yield Alarm(
            "held",
            "bad",
            words,
            msgid(
                "What was paused by a person goes on when one says so, under System or with"
                " `safelight resume`. What waits for the disk goes on by itself once there is room,"
                " what waits for a Dask cluster once it is back; `safelight doctor` examines both."
            ),
            "/system#queue",
            msgid("see the queue"),
            about=words,
        )
    if condition.has_backup_failed:
        yield Alarm(
            "backup",
            "bad",
            msgid("The last backup of the ledger failed"),
            msgid(
                "`safelight doctor` says why. It is tried again each hour; earlier backups stay."
            ),
        )
    if is_full:
        yield Alarm(
            "disk",
            "bad",
            msgid("The disk is nearly full"),
            msgid(
                "Free space on the disk of the data folder, or give rules a shorter retention."
                " Nothing that was acknowledged is lost: senders are refused before the disk is"
                " full."
            ),
        )
    if condition.is_audit_late:
        yield Alarm(
            "audit",
            "bad",
            msgid("The audit trail does not reach its syslog server"),
            msgid(
                "It is kept here and sent once the server takes it; nothing of it is lost."
                " `safelight doctor --only audit` says why it is not taken."
            ),
        )


def _of_series(overview: Overview) -> Iterator[Alarm]:
    if overview.attention:
        yield Alarm(
            "attention",
            "bad",
            count(overview.attention, "thing needs a person", "things need a person"),
            msgid(
                "Jobs were given up, steps failed or rules could not be applied. Each series says"
                " why and what to do; then send its job again or have it processed again."
            ),
            "/studies?state=attention",
            msgid("see the studies"),
        )


def _of_senders(silent: Sequence[Silence]) -> Iterator[Alarm]:
    for one in silent:
        yield Alarm(
            "silent",
            "warn",
            f"{one.calling_ae} has brought nothing for more than {one.silent_hours:g} h",
            msgid(
                "Ask the sender whether its queue stands still, and whether its route to this node"
                " is still there."
            ),
            "/network#callers",
            msgid("see the senders"),
            about=one.calling_ae,
        )


def _of_reception(overview: Overview) -> Iterator[Alarm]:
    if overview.quarantined:
        yield Alarm(
            "quarantine",
            "warn",
            count(overview.quarantined, "file in quarantine", "files in quarantine"),
            msgid(
                "They are kept apart, with the reason below: most often the sender changed an"
                " instance and sent it again under its old UID. Compare both; the first one counts."
            ),
            "/alarms#quarantine",
            msgid("see the files"),
        )
    if overview.refusals:
        yield Alarm(
            "refusals",
            "warn",
            count(overview.refusals, "refusal in 24 hours", "refusals in 24 hours"),
            msgid(
                "The reason names the key of the configuration that lets it in, or what is wrong"
                " with the instance. The sender still has what was refused and can send it again."
            ),
            "/alarms#refusals",
            msgid("see the reasons"),
        )


def _of_notifications(overview: Overview) -> Iterator[Alarm]:
    if overview.undelivered:
        yield Alarm(
            "undelivered",
            "warn",
            count(
                overview.undelivered,
                "notification was not delivered",
                "notifications were not delivered",
            ),
            msgid(
                "`safelight notify list` says why, `safelight notify test NAME` whether it works"
                " now. Then send them again with `safelight notify resend`, or take them out with"
                " `safelight notify forget`."
            ),
        )
