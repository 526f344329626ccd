"""Decides when a series is closed. Pure state: it reads no file and no clock.

Times are seconds of a monotonic clock, passed in.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from listener.journal import ENDINGS, AssociationEvent, EventName
from listener.series import Closure, Grade
from listener.settings import GroupingSettings
from listener.spool import SeriesKey


@dataclass
class _OpenSeries:
    modality: str
    last_arrival: float
    instances: set[str] = field(default_factory=set)
    associations: set[str] = field(default_factory=set)


class Grouper:
    """The series that are still arriving, and the associations that send them."""

    def __init__(self, settings: GroupingSettings) -> None:
        self._settings = settings
        self._series: dict[SeriesKey, _OpenSeries] = {}
        self._open_associations: dict[str, str] = {}  # and which receiver has them
        self._endings: dict[str, EventName] = {}

    def holds(self, key: SeriesKey, sop_instance_uid: str) -> bool:
        """Whether the instance arrived since the series was opened."""
        return key in self._series and sop_instance_uid in self._series[key].instances

    def arrived(
        self,
        key: SeriesKey,
        sop_instance_uid: str,
        association_id: str,
        modality: str,
        now: float,
    ) -> None:
        """Note an instance; the first one opens its series."""
        series = self._series.setdefault(key, _OpenSeries(modality, now))
        series.last_arrival = now
        series.instances.add(sop_instance_uid)
        if association_id:
            series.associations.add(association_id)

    def resume(self, key: SeriesKey, modality: str, associations: set[str], now: float) -> None:
        """Open a series again that was still arriving when an earlier run ended."""
        self._series[key] = _OpenSeries(modality, now, associations=associations)

    def note(self, event: AssociationEvent) -> None:
        """Note what happened to an association."""
        if event.event == "started":
            for association_id, receiver in tuple(self._open_associations.items()):
                if receiver == event.receiver:
                    del self._open_associations[association_id]
                    self._endings[association_id] = "lost"
        elif event.event == "accepted":
            self._open_associations[event.association_id] = event.receiver
        elif event.event in ENDINGS:
            self._open_associations.pop(event.association_id, None)
            self._endings[event.association_id] = event.event

    def due(self, now: float) -> Iterator[Closure]:
        """The series that have been quiet long enough; `close` ends them."""
        for key, series in self._series.items():
            closure = self._closure(key, series, now - series.last_arrival)
            if closure is not None:
                yield closure

    def close(self, key: SeriesKey) -> None:
        """Forget a series; an instance that comes later opens it anew."""
        del self._series[key]
        self._forget_endings()

    def _closure(self, key: SeriesKey, series: _OpenSeries, quiet: float) -> Closure | None:
        if series.associations & self._open_associations.keys():
            if quiet < self._settings.open_association_seconds:
                return None
            return Closure(key, "quiet", f"quiet for {quiet:.0f} s; its association is still open")
        if quiet < self._settings.quiet_seconds_for(series.modality):
            return None
        grade, cause = self._evidence(series)
        return Closure(key, grade, f"{cause}, then quiet for {quiet:.0f} s")

    def _evidence(self, series: _OpenSeries) -> tuple[Grade, str]:
        endings = {self._endings.get(name, "lost") for name in series.associations}
        if endings == {"released"}:
            several = len(series.associations) > 1
            return "released", "all associations released" if several else "association released"
        return "quiet", f"association {' and '.join(sorted(endings)) or 'unknown'}"

    def _forget_endings(self) -> None:
        """Keep only what a series that is still open can ask for."""
        wanted = {name for series in self._series.values() for name in series.associations}
        if len(self._endings) > 2 * len(wanted) + 1000:
            self._endings = {n: e for n, e in self._endings.items() if n in wanted}
