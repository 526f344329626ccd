"""What is wrong with the node, each with what a person can do about it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ledger.rows import Overview
from processor.words import count
from web_status.languages import msgid
from web_status.network import Silence
from web_status.node import Condition


@dataclass(frozen=True)
class Alarm:
    """Something a person should know.

    Attributes
    ----------
    tone
        ``bad`` for what stands still or is lost on the way, ``warn`` for the rest.
    what, remedy
        What is the case, and what to do about it; in English, told where they are shown.
    link, link_words
        Where to look; empty where there is no such place.
    """

    tone: str
    what: str
    remedy: str
    link: str = ""
    link_words: str = ""


def alarms_of(
    overview: Overview, condition: Condition, silent: Sequence[Silence], *, is_full: bool
) -> tuple[Alarm, ...]:
    """All of them, the worst first."""
    found = [*_of_the_node(condition, is_full=is_full), *_of_series(overview), *_of_senders(silent)]
    return tuple(sorted([*found, *_of_reception(overview)], key=lambda alarm: alarm.tone))


def _of_the_node(condition: Condition, *, is_full: bool) -> Iterator[Alarm]:
    for words in condition.held:
        yield Alarm(
            "bad",
            words,
            msgid(
                "What was paused by a person goes on when one says so, under System or with"
                " `safelight resume`. What waits for the disk goes on by itself once there is room,"
                " what waits for a Dask cluster once it is back; `safelight doctor` examines both."
            ),
            "/system#queue",
            msgid("see the queue"),
        )
    if is_full:
        yield Alarm(
            "bad",
            msgid("The disk is nearly full"),
            msgid(
                "Free space on the disk of the data folder, or give rules a shorter retention."
                " Nothing that was acknowledged is lost: senders are refused before the disk is"
                " full."
            ),
        )


def _of_series(overview: Overview) -> Iterator[Alarm]:
    if overview.attention:
        yield Alarm(
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
            "warn",
            f"{one.calling_ae} has brought nothing for more than {one.silent_hours:g} h",
            msgid(
                "Ask the sender whether its queue stands still, and whether its route to this node"
                " is still there."
            ),
            "/network#callers",
            msgid("see the senders"),
        )


def _of_reception(overview: Overview) -> Iterator[Alarm]:
    if overview.quarantined:
        yield Alarm(
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
            "warn",
            count(overview.refusals, "refusal in 24 hours", "refusals in 24 hours"),
            msgid(
                "The reason names the key of the configuration that lets it in, or what is wrong"
                " with the instance. The sender still has what was refused and can send it again."
            ),
            "/alarms#refusals",
            msgid("see the reasons"),
        )
