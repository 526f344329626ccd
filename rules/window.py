"""The time of day in which a rule's jobs may begin, such as ``20:00-06:00``. Pure: no clock."""

import re
from dataclasses import dataclass
from datetime import datetime, time

_WINDOW = re.compile(r"(\d\d):(\d\d)-(\d\d):(\d\d)")


@dataclass(frozen=True)
class Window:
    """From `begin` to before `end`, in local time; over midnight where `end` is the earlier."""

    begin: time
    end: time

    @classmethod
    def parse(cls, text: str) -> "Window":
        """Read ``HH:MM-HH:MM``.

        Raises
        ------
        ValueError
            It is none.
        """
        match = _WINDOW.fullmatch(text)
        if match is None:
            raise ValueError(f'expected a time of day such as "20:00-06:00", got {text!r}')
        hours = [int(part) for part in match.groups()]
        try:
            window = cls(time(hours[0], hours[1]), time(hours[2], hours[3]))
        except ValueError:
            raise ValueError(f"expected hours from 00:00 to 23:59, got {text!r}") from None
        if window.begin == window.end:
            raise ValueError(f"begin and end are the same: {text!r}")
        return window

    def __str__(self) -> str:
        """As it was written."""
        return f"{self.begin:%H:%M}-{self.end:%H:%M}"

    def holds(self, now: datetime) -> bool:
        """Whether a job may begin at `now`, a local time.

        >>> Window.parse("20:00-06:00").holds(datetime(2026, 1, 31, 5, 59))
        True
        """
        if self.begin < self.end:
            return self.begin <= now.time() < self.end
        return now.time() >= self.begin or now.time() < self.end
