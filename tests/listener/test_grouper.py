"""When a series closes: pure state, with times given. Files and real clocks: test_watcher.py."""

from listener.grouper import Grouper
from listener.journal import AssociationEvent
from listener.settings import GroupingSettings
from listener.spool import SeriesKey

KEY = SeriesKey("1.2", "1.2.3")
OTHER = SeriesKey("1.2", "1.2.4")
SETTINGS = GroupingSettings(
    quiet_seconds=10, quiet_seconds_by_modality={"US": 30}, open_association_seconds=300
)


def event(name, association_id="a1"):
    return AssociationEvent(name, "2026-01-01T00:00:00.000+00:00", association_id)


def grouper_with(*arrivals):
    grouper = Grouper(SETTINGS)
    for key, uid, association, modality, at in arrivals:
        grouper.arrived(key, uid, association, modality, at)
    return grouper


def due(grouper, now):
    return [(c.key, c.grade, c.evidence) for c in grouper.due(now)]


def test_a_series_closes_when_its_association_was_released_and_it_was_quiet():
    grouper = grouper_with((KEY, "1", "a1", "CT", 100.0))
    grouper.note(event("accepted"))
    grouper.note(event("released"))
    assert due(grouper, 109.9) == []
    assert due(grouper, 110.0) == [(KEY, "released", "association released, then quiet for 10 s")]


def test_an_open_association_that_sent_to_the_series_blocks_its_closing():
    grouper = Grouper(SETTINGS)
    grouper.note(event("accepted"))
    grouper.arrived(KEY, "1", "a1", "CT", 100.0)
    assert due(grouper, 399.0) == []


def test_an_association_left_open_for_long_does_not_block_for_ever():
    grouper = Grouper(SETTINGS)
    grouper.note(event("accepted"))
    grouper.arrived(KEY, "1", "a1", "CT", 100.0)
    assert due(grouper, 400.0) == [(KEY, "quiet", "quiet for 300 s; its association is still open")]


def test_an_open_association_that_sends_to_another_series_does_not_block():
    grouper = Grouper(SETTINGS)
    for name in ("a1", "a2"):
        grouper.note(event("accepted", name))
    grouper.arrived(KEY, "1", "a1", "CT", 100.0)
    grouper.arrived(OTHER, "2", "a2", "CT", 100.0)
    grouper.note(event("released", "a1"))
    assert [key for key, _, _ in due(grouper, 115.0)] == [KEY]


def test_an_aborted_association_gives_the_weaker_grade():
    grouper = grouper_with((KEY, "1", "a1", "CT", 100.0))
    grouper.note(event("accepted"))
    grouper.note(event("aborted"))
    assert due(grouper, 110.0) == [(KEY, "quiet", "association aborted, then quiet for 10 s")]


def test_of_several_associations_all_must_have_been_released():
    grouper = grouper_with((KEY, "1", "a1", "CT", 100.0), (KEY, "2", "a2", "CT", 100.0))
    for name in ("a1", "a2"):
        grouper.note(event("accepted", name))
    grouper.note(event("released", "a1"))
    assert due(grouper, 150.0) == []
    grouper.note(event("aborted", "a2"))
    assert due(grouper, 150.0)[0][1:] == (
        "quiet",
        "association aborted and released, then quiet for 50 s",
    )


def test_a_receiver_that_starts_anew_has_lost_what_was_open():
    grouper = Grouper(SETTINGS)
    grouper.note(event("accepted"))
    grouper.arrived(KEY, "1", "a1", "CT", 100.0)
    grouper.note(event("started", "receiver"))
    assert due(grouper, 110.0) == [(KEY, "quiet", "association lost, then quiet for 10 s")]


def test_an_instance_of_unknown_origin_closes_on_quiet_alone():
    grouper = grouper_with((KEY, "1", "", "CT", 100.0))
    assert due(grouper, 110.0) == [(KEY, "quiet", "association unknown, then quiet for 10 s")]


def test_each_instance_starts_the_quiet_time_anew():
    grouper = grouper_with((KEY, "1", "", "CT", 100.0), (KEY, "2", "", "CT", 109.0))
    assert due(grouper, 118.0) == []
    assert len(due(grouper, 119.0)) == 1


def test_a_modality_may_have_a_quiet_time_of_its_own():
    grouper = grouper_with((KEY, "1", "", "US", 100.0))
    assert due(grouper, 129.0) == []
    assert len(due(grouper, 130.0)) == 1


def test_a_closed_series_opens_anew_with_a_late_instance():
    grouper = grouper_with((KEY, "1", "", "CT", 100.0))
    grouper.close(KEY)
    assert not grouper.holds(KEY, "1")
    grouper.arrived(KEY, "2", "", "CT", 200.0)
    assert grouper.holds(KEY, "2")
    assert not grouper.holds(KEY, "1")
    assert len(due(grouper, 210.0)) == 1
