"""Tells people: queues what begins and ends, and has it delivered beside the loop.

What waits on a network or reads much runs in threads of its own, one for each target and one that
looks for alarms; what they found is recorded by the thread that owns the ledger. A target that
hangs holds up no other, and nothing of the coordinator.
"""

import logging
import random
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from jinja2 import TemplateError

from ledger.errors import LedgerError
from ledger.notification_records import Notification
from ledger.notifications import Notifications
from safelight.alarm_watch import AlarmWatch
from safelight.config import Config
from safelight.delivering import deliver
from safelight.errors import NotDelivered
from safelight.messages import message_of
from safelight.notify_settings import NotifySettings
from safelight.page_node import NodeCondition
from safelight.requests import Request
from web_status.alarms import Alarm

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0
_LONGEST_RETRY_SECONDS = 3600.0
_TIDY_SECONDS = 86_400.0
_STOP_SECONDS = 2.0
_HOUR_SECONDS = 3600.0

Alarms = Mapping[str, Alarm]


@dataclass(frozen=True)
class _Delivery:
    """What came of one try; `error` is None where it was delivered."""

    one: Notification
    target: NotifySettings
    error: NotDelivered | None


class Notifying:
    """The notifications of the daemon.

    All methods belong to the thread that owns the ledger.

    Parameters
    ----------
    config
        The configuration in force.
    notifications
        The queue.
    condition
        Says what is held up.
    """

    def __init__(
        self, config: Config, notifications: Notifications, condition: NodeCondition
    ) -> None:
        self._config = config
        self._queue = notifications
        self._targets = config.notify
        self._watch = AlarmWatch(config, condition)
        self._watches = any(one.alarms for one in config.notify)
        self._next_look = self._next_tidying = time.monotonic()
        self._busy: dict[str | None, threading.Thread] = {}  # by target; None looks for alarms
        self._found: SimpleQueue[_Delivery | Alarms] = SimpleQueue()

    def _tidy(self) -> None:
        self._queue.tidy([one.name for one in self._targets])
        self._next_tidying = time.monotonic() + _TIDY_SECONDS

    def step(self) -> None:
        """Record what threads have found, and give them what there is to do."""
        if time.monotonic() >= self._next_tidying:
            self._tidy()
        if not self._targets:
            return
        self._collect()
        if self._watches and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + _LOOK_SECONDS
            self._start(None, self._look)
        self._queue.release_studies()
        for target in self._targets:
            if target.name not in self._busy:
                self._begin(target)

    def obey(self, request: Request) -> None:
        """Do what a person asked for."""
        change = self._queue.resend if request.what == "notify_resend" else self._queue.forget
        done = change(request.notification or None)
        logger.info("asked to %s: %d notifications", request.what.replace("_", " "), done)

    def stop(self) -> None:
        """Wait a little for what is being delivered, which would else be delivered again."""
        deadline = time.monotonic() + _STOP_SECONDS
        for thread in self._busy.values():
            thread.join(max(0.0, deadline - time.monotonic()))
        self._collect()

    def _begin(self, target: NotifySettings) -> None:
        one = self._queue.next_for(target.name, target.per_hour)
        if one is not None:
            self._start(target.name, lambda: self._deliver(one, target))

    def _start(self, name: str | None, work: Callable[[], None]) -> None:
        if name not in self._busy:
            self._busy[name] = threading.Thread(target=work, name="notifying", daemon=True)
            self._busy[name].start()

    def _deliver(self, one: Notification, target: NotifySettings) -> None:
        """In a thread of the target's own."""
        error: NotDelivered | None = NotDelivered("it failed as nobody foresaw; the log has it")
        try:
            message = message_of(one, target, self._config)
            logger.info("notification %d: %s", one.id, deliver(message, target, self._config.smtp))
            error = None
        except TemplateError as found:
            error = NotDelivered(f"its template does not take it: {found.message}", is_final=True)
        except NotDelivered as found:
            error = found
        finally:
            self._found.put(_Delivery(one, target, error))

    def _look(self) -> None:
        """In a thread of its own."""
        try:
            self._found.put(self._watch.look())
        except (LedgerError, sqlite3.Error, OSError) as error:
            logger.warning("alarms cannot be looked for: %s", type(error).__name__)

    def _collect(self) -> None:
        """Record what was found; only then may a thread that has ended be followed by another."""
        ended = [name for name, thread in self._busy.items() if not thread.is_alive()]
        with suppress(Empty):
            while True:
                found = self._found.get_nowait()
                if isinstance(found, _Delivery):
                    self._record(found)
                else:
                    self._tell(found)
        for name in ended:
            del self._busy[name]

    def _record(self, delivery: _Delivery) -> None:
        one, target, error = delivery.one, delivery.target, delivery.error
        if error is None:
            self._queue.sent(one.id)
        elif error.is_final or one.tries + 1 >= target.tries:
            self._queue.give_up(one.id, str(error))
            logger.error("notification %d to %s given up: %s", one.id, one.target, error)
        else:
            wait = min(_LONGEST_RETRY_SECONDS, target.retry_seconds * 2.0**one.tries)
            self._queue.retry(one.id, str(error), wait * random.uniform(1.0, 1.5))  # noqa: S311
            logger.warning("notification %d to %s: %s; tried again", one.id, one.target, error)

    def _tell(self, alarms: Alarms) -> None:
        for target in self._targets:
            wanted = {
                key: {
                    "what": alarm.what,
                    "remedy": alarm.remedy,
                    "severity": alarm.tone,
                    "link": alarm.link or "/alarms",
                }
                for key, alarm in alarms.items()
                if target.wants(alarm.kind, alarm.tone)
            }
            remind = target.remind_hours * _HOUR_SECONDS or None
            self._queue.tell_alarms(target.name, wanted, remind)
