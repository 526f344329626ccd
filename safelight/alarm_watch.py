"""Looks which alarms there are, as the page shows them."""

import time
from collections.abc import Callable, Mapping
from contextlib import closing

from ledger.reader import LedgerReader
from safelight.config import Config
from safelight.page_node import NodeCondition, network_of
from web_status.alarms import Alarm, alarms_of
from web_status.network import silences
from web_status.views import disk_of

_SETTLE_SECONDS = 60.0


class AlarmWatch:
    """The alarms there are; one that was gone for less than a minute has not been.

    So what hovers at a mark, as a disk does, is not over and begins again with every look.

    Parameters
    ----------
    config
        The configuration in force.
    condition
        Says what is held up, which is alarms, too.
    clock
        A monotonic clock, in seconds.
    """

    def __init__(
        self,
        config: Config,
        condition: NodeCondition,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config
        self._condition = condition
        self._clock = clock
        self._seen: dict[str, tuple[float, Alarm]] = {}

    def look(self) -> Mapping[str, Alarm]:
        """The alarms, by what tells one from another."""
        now = self._clock()
        self._seen.update({_key(alarm): (now, alarm) for alarm in self._now()})
        self._seen = {
            key: seen for key, seen in self._seen.items() if now - seen[0] <= _SETTLE_SECONDS
        }
        return {key: alarm for key, (_, alarm) in self._seen.items()}

    def _now(self) -> tuple[Alarm, ...]:
        disk = disk_of(self._config.storage.data)
        with closing(LedgerReader(self._config.storage.ledger)) as reader:
            return alarms_of(
                reader.overview(),
                self._condition(reader),
                silences(reader, network_of(self._config)),
                is_full=disk is not None and disk.is_full,
            )


def _key(alarm: Alarm) -> str:
    return f"{alarm.kind} {alarm.about}".rstrip()
