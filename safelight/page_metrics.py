"""What the daemon tells Prometheus of itself: its processes, and how far the ledger is behind."""

import time
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from safelight.lag import Lag
from safelight.pulse import Pulse


class NodeMetrics(Collector):
    """Says how the processes are, and how far the ledger is behind, each time it is asked."""

    def __init__(self, pulse: Pulse, lag: Lag) -> None:
        self._pulse = pulse
        self._lag = lag

    def collect(self) -> Iterator[Metric]:
        """All of it."""
        now = time.monotonic()
        yield GaugeMetricFamily(
            *("safelight_start_time_seconds", "When the daemon started, since the epoch."),
            value=self._pulse.began,
        )
        yield GaugeMetricFamily(
            "safelight_watchdog_age_seconds",
            "How long ago all processes were last said to be alive, to systemd where there is one.",
            value=max(0.0, now - (self._pulse.announced or now)),
        )
        yield from self._processes(now)
        yield GaugeMetricFamily(
            "safelight_ledger_waiting_files",
            "Files that were seen in the spool and are not in the ledger yet.",
            value=self._lag.waiting_files,
        )
        yield GaugeMetricFamily(
            "safelight_ledger_lag_seconds",
            "Age at most of the oldest file or event of the spool that is not in the ledger yet.",
            value=self._lag.seconds(),
        )

    def _processes(self, now: float) -> Iterator[Metric]:
        up = GaugeMetricFamily(
            "safelight_process_up", "1 while a process runs and answers.", labels=["process"]
        )
        age = GaugeMetricFamily(
            "safelight_process_heartbeat_age_seconds",
            "How long ago a process was last heard.",
            labels=["process"],
        )
        starts = CounterMetricFamily(
            "safelight_process_starts", "How often a process was started.", labels=["process"]
        )
        for beat in self._pulse.beats():
            up.add_metric([beat.name], int(beat.is_up(now)))
            starts.add_metric([beat.name], beat.starts)
            if beat.heard:
                age.add_metric([beat.name], beat.age_seconds(now))
        yield from (up, age, starts)
