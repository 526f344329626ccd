"""The time of day in which jobs may begin."""

from datetime import datetime

import pytest

from rules.window import Window

NIGHT, DAY = Window.parse("20:00-06:00"), Window.parse("08:00-17:30")


def at(hour, minute=0, day=31):
    return datetime(2026, 1, day, hour, minute)  # noqa: DTZ001 - local time, as a site means it


@pytest.mark.parametrize(
    ("window", "hour", "minute", "holds"),
    [
        (NIGHT, 19, 59, False),
        (NIGHT, 20, 0, True),
        (NIGHT, 0, 0, True),
        (NIGHT, 5, 59, True),
        (NIGHT, 6, 0, False),
        (DAY, 7, 59, False),
        (DAY, 8, 0, True),
        (DAY, 17, 30, False),
    ],
)
def test_a_window_holds_from_its_begin_to_before_its_end(window, hour, minute, holds):
    assert window.holds(at(hour, minute)) is holds
