"""Which series are the phases of one dynamic, in their order, before and after contrast agent."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from processor.mr_clean.config import MrConfig, found_in
from processor.mr_clean.reading import began_at, number_of, numbers_of, text_of
from processor.mr_clean.sequence import Series
from processor.mr_clean.wording import normalised, without

_ALIKE = ("TR", "TE", "FA")


@dataclass(frozen=True)
class Member:
    """A series as dynamics see it.

    Attributes
    ----------
    place : int
        Of the series among those of its study.
    key : tuple
        What is equal in all phases of one dynamic.
    is_enhanced : bool
        Whether a contrast agent is seen.
    says : str
        ``pre`` or ``post`` where its name says so; empty otherwise.
    """

    place: int
    series: Series
    key: tuple[object, ...]
    began: datetime | None
    is_enhanced: bool
    says: str

    @property
    def order(self) -> tuple[datetime, float, float]:
        """By time, then temporal position, then series number."""
        row = self.series.row
        return (
            self.began or datetime.max,  # noqa: DTZ901 - scanners tell no zone
            number_of(row, "TemporalPositionIdentifier") or 0.0,
            number_of(row, "SeriesNumber") or 0.0,
        )


@dataclass(frozen=True)
class Phase:
    """The group and phase of a series; empty where there is none. `is_enhanced` follows from it."""

    group: str = ""
    name: str = ""
    is_enhanced: bool | None = None


def is_source(series: Series, sequence_class: str, config: MrConfig) -> bool:
    """Whether a series can be of a dynamic: of such a class, and no cine."""
    trigger = number_of(series.row, "TriggerTime")
    interval = number_of(series.row, "NominalInterval")
    is_cine = trigger is not None and interval is not None and 0 <= trigger < interval
    return sequence_class in config.dynamic.sources and not is_cine


def member_of(
    place: int, series: Series, config: MrConfig, features: Sequence[object], *, is_enhanced: bool
) -> Member:
    """A series with what tells it from those of other dynamics; `features` are the class's."""
    row = series.row
    name = normalised(text_of(row, "SeriesDescription") or text_of(row, "ProtocolName"))
    spacing = tuple(round(value, 2) for value in numbers_of(row, "PixelSpacing"))
    cosines = tuple(round(value, 2) for value in numbers_of(row, "ImageOrientationPatient"))
    position = tuple(round(value) for value in numbers_of(row, "ImagePositionPatient"))
    key = (
        *(text_of(row, "FrameOfReferenceUID"), cosines, position),
        *(number_of(row, column) for column in ("Rows", "Columns", "SliceThickness")),
        *(spacing, without(config.dynamic.phase_words, name), *features),
    )
    settings = config.contrast
    pre, post = found_in(settings.pre, series.name), found_in(settings.post, series.name)
    says = "pre" if pre else "post" if post or _named_phase(series, config) else ""
    return Member(place, series, key, began_at(row), is_enhanced, says)


def phases_of(members: Sequence[Member], config: MrConfig) -> dict[int, Phase]:
    """The phase of each series of one study that has one, by its place."""
    found: dict[int, Phase] = {}
    groups = [group for group in _groups(members, config) if len(group) > 1]
    for number, group in enumerate(sorted(groups, key=lambda group: group[0].order), start=1):
        found |= _phases(group, f"DYN_{number}", config)
    found |= _propagated(members, found)
    return found


def _groups(members: Iterable[Member], config: MrConfig) -> list[list[Member]]:
    """Series that are alike, those with close times together; each group in order."""
    by_key: dict[tuple[object, ...], list[Member]] = defaultdict(list)
    for member in members:
        by_key[member.key].append(member)
    groups: list[list[Member]] = []
    for alike in by_key.values():
        left = sorted(alike, key=lambda member: member.order)
        while left:
            first = left[0]
            group = [one for one in left if _close(first, one, config.dynamic.tolerance)]
            left = [one for one in left if one not in group]
            groups.append(group)
    return groups


def _close(first: Member, other: Member, tolerance: float) -> bool:
    if first is other:
        return True
    pairs = ((first.series.parameters[name], other.series.parameters[name]) for name in _ALIKE)
    return all(
        one == two or (one is not None and two is not None and abs(one - two) <= tolerance * one)
        for one, two in pairs
    )


def _phases(group: Sequence[Member], name: str, config: MrConfig) -> dict[int, Phase]:
    """PRE until contrast agent was given, then POST_1 and on, or what a name says of a phase."""
    if not any(one.is_enhanced or one.says for one in group):
        return {one.place: Phase(name) for one in group}
    found: dict[int, Phase] = {}
    count, is_after = 0, False
    for number, one in enumerate(group):
        is_after = is_after or _is_after(one, is_first=number == 0)
        if one.says == "pre" or not is_after:
            found[one.place] = Phase(name, "PRE", is_enhanced=False)
            continue
        count += 1
        told = _named_phase(one.series, config) or _timed_phase(one, config)
        found[one.place] = Phase(name, told or f"POST_{count}", is_enhanced=True)
    return found


def _is_after(one: Member, *, is_first: bool) -> bool:
    """Whether contrast agent had been given.

    Elements of an agent are filled before it is given, too: of the first phase they prove nothing.
    """
    if one.says:
        return one.says == "post"
    return not is_first


def _named_phase(series: Series, config: MrConfig) -> str:
    names = config.dynamic.names.items()
    return next((name.upper() for name, words in names if found_in(words, series.name)), "")


def _timed_phase(one: Member, config: MrConfig) -> str:
    """By the time since the agent, where both times are plausible."""
    told = text_of(one.series.row, "ContrastBolusStartTime")
    if not told or one.began is None:
        return ""
    given = began_at({"AcquisitionTime": told, "AcquisitionDate": f"{one.began:%Y%m%d}"})
    if given is None:
        return ""
    delay = one.began - given
    if delay < timedelta(0):
        delay += timedelta(days=1)  # the agent was given before midnight
    seconds = delay.total_seconds()
    limits = config.dynamic.seconds.items()
    return next((name.upper() for name, limit in limits if limit.holds(seconds)), "")


def _propagated(members: Sequence[Member], found: dict[int, Phase]) -> dict[int, Phase]:
    """A single series that began after the first with contrast agent."""
    enhanced = [
        one.began
        for one in members
        if one.began and found.get(one.place, Phase(is_enhanced=one.is_enhanced)).is_enhanced
    ]
    if not enhanced:
        return {}
    first = min(enhanced)
    return {
        one.place: replace(found.get(one.place, Phase()), name="POST_PROPAGATED", is_enhanced=True)
        for one in members
        if not found.get(one.place, Phase()).name
        and one.began
        and one.began > first
        and one.says != "pre"
    }
