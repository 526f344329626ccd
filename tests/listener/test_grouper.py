"""When a series closes: pure state, with times given. Files and real clocks: test_watcher.py."""

from listener.grouper import Grouper, OpenSeries
from listener.journal import AssociationEvent
from listener.retrievals import ListedSeries, Retrieval
from listener.settings import GroupingSettings
from listener.spool import SeriesKey

KEY = SeriesKey("1.2", "1.2.3")
OTHER = SeriesKey("1.2", "1.2.4")
SETTINGS = GroupingSettings(
    quiet_seconds=10,
    quiet_seconds_by_modality={"US": 30},
    quiet_seconds_by_ae={"SLOW": 90},
    study_quiet_seconds=60,
    open_association_seconds=300,
)


class Expected:
    """A retrieval of the study, and what the spool would hold of it."""

    def __init__(self, retrieval=None):
        self.retrieval = retrieval
        self.series = {KEY.SeriesInstanceUID}
        self.instances = 0

    def of(self, _study_uid):
        return self.retrieval

    def series_here(self, _study_uid):
        return frozenset(self.series)

    def instances_here(self, _retrieval):
        return self.instances


def retrieval(*, uids=(), count=None, ended=True, sent=None):
    listed = ListedSeries(count, frozenset(uids))
    return Retrieval("1.2", "PACS1", {KEY.SeriesInstanceUID: listed}, ended, sent)


def event(name, association_id="a1"):
    return AssociationEvent(name, "2026-01-01T00:00:00.000+00:00", association_id)


def arrive(grouper, key, uid, association, modality, at):
    if not grouper.is_open(key):
        grouper.open(key, OpenSeries(at, set(), modality, "PACS1"))
    grouper.arrived(key, uid, association, at)


def grouper_with(*arrivals, expected=None):
    grouper = Grouper(SETTINGS, expected or Expected())
    for arrival in arrivals:
        arrive(grouper, *arrival)
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
    grouper = grouper_with()
    grouper.note(event("accepted"))
    arrive(grouper, KEY, "1", "a1", "CT", 100.0)
    assert due(grouper, 399.0) == []


def test_an_association_left_open_for_long_does_not_block_for_ever():
    grouper = grouper_with()
    grouper.note(event("accepted"))
    arrive(grouper, KEY, "1", "a1", "CT", 100.0)
    evidence = "quiet for 300 s; its association is still open"
    assert due(grouper, 400.0) == [(KEY, "forced", evidence)]


def test_an_open_association_that_sends_to_another_series_does_not_block():
    grouper = grouper_with()
    for name in ("a1", "a2"):
        grouper.note(event("accepted", name))
    arrive(grouper, KEY, "1", "a1", "CT", 100.0)
    arrive(grouper, OTHER, "2", "a2", "CT", 100.0)
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
    grouper = grouper_with()
    grouper.note(event("accepted"))
    arrive(grouper, KEY, "1", "a1", "CT", 100.0)
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
    arrive(grouper, KEY, "2", "", "CT", 200.0)
    assert grouper.holds(KEY, "2")
    assert not grouper.holds(KEY, "1")
    assert len(due(grouper, 210.0)) == 1


def test_a_calling_ae_title_may_have_a_quiet_time_of_its_own_before_its_modality():
    grouper = grouper_with()
    grouper.open(KEY, OpenSeries(100.0, set(), "US", "SLOW"))
    grouper.arrived(KEY, "1", "", 100.0)
    assert due(grouper, 189.0) == []
    assert len(due(grouper, 190.0)) == 1


def test_a_series_closes_at_once_when_every_listed_instance_is_here():
    expected = Expected(retrieval(uids=["1", "2"], ended=False))
    grouper = grouper_with((KEY, "1", "a1", "CT", 100.0), expected=expected)
    grouper.note(event("accepted"))
    assert due(grouper, 100.0) == []
    arrive(grouper, KEY, "2", "a1", "CT", 101.0)
    assert due(grouper, 101.0) == []  # its association may still be sending to it
    arrive(grouper, OTHER, "3", "a1", "CT", 102.0)
    assert due(grouper, 102.0) == [(KEY, "listed", "2 of 2 listed by PACS1")]


def test_as_many_instances_but_others_than_listed_prove_nothing():
    expected = Expected(retrieval(uids=["1", "2", "3"]))
    grouper = grouper_with(
        (KEY, "1", "", "CT", 100.0), (KEY, "2", "", "CT", 100.0), (KEY, "9", "", "CT", 100.0),
        expected=expected,
    )  # fmt: skip
    assert due(grouper, 101.0) == []
    (closure,) = grouper.due(110.0)
    assert (closure.grade, closure.expected, closure.missing) == ("quiet", 3, 1)
    assert closure.evidence.endswith("; 3 here, 3 listed, 1 missing")


def test_more_than_was_listed_is_said():
    expected = Expected(retrieval(uids=["1"]))
    grouper = grouper_with(
        (KEY, "1", "", "CT", 100.0), (KEY, "2", "", "CT", 100.0), expected=expected
    )
    assert due(grouper, 100.0) == [(KEY, "listed", "1 of 1 listed by PACS1, and 1 more")]


def test_a_series_closes_at_once_when_as_many_are_here_as_the_pacs_counts():
    grouper = grouper_with(
        (KEY, "1", "", "CT", 100.0), (KEY, "2", "", "CT", 100.0),
        expected=Expected(retrieval(count=2)),
    )  # fmt: skip
    assert due(grouper, 100.0) == [(KEY, "counted", "2 of 2 counted by PACS1")]


def test_fewer_than_counted_is_not_called_whole_and_says_what_is_missing():
    grouper = grouper_with((KEY, "1", "", "CT", 100.0), expected=Expected(retrieval(count=5)))
    (closure,) = grouper.due(110.0)
    assert (closure.grade, closure.expected, closure.missing) == ("quiet", 5, 4)


def test_a_move_that_sent_what_is_here_is_evidence():
    expected = Expected(retrieval(sent=3))
    expected.instances = 3
    grouper = grouper_with((KEY, "1", "", "CT", 100.0), expected=expected)
    evidence = "3 of 3 instances that PACS1 sent are here"
    assert due(grouper, 110.0) == [(KEY, "moved", evidence)]


def test_a_move_that_says_it_sent_more_than_is_here_is_not():
    expected = Expected(retrieval(sent=3))
    expected.instances = 2
    grouper = grouper_with((KEY, "1", "", "CT", 100.0), expected=expected)
    ((_, grade, evidence),) = due(grouper, 110.0)
    assert grade == "quiet"
    assert evidence.endswith("; 2 of 3 instances that PACS1 sent are here")


def test_a_move_that_has_not_ended_blocks_closing_but_not_for_ever():
    expected = Expected(retrieval(ended=False))
    grouper = grouper_with((KEY, "1", "", "CT", 100.0), expected=expected)
    assert due(grouper, 399.0) == []
    evidence = "quiet for 300 s; PACS1 has not said that it has sent all"
    assert due(grouper, 400.0) == [(KEY, "forced", evidence)]


def studies_due(grouper, now):
    return [(c.StudyInstanceUID, c.grade, c.evidence) for c in grouper.due_studies(now)]


def test_a_study_closes_when_all_its_series_are_closed_and_it_was_quiet():
    grouper = grouper_with((KEY, "1", "a1", "CT", 100.0), (OTHER, "2", "a1", "CT", 105.0))
    grouper.note(event("accepted"))
    grouper.note(event("released"))
    grouper.close(KEY)
    assert studies_due(grouper, 500.0) == []  # a series is arriving
    grouper.close(OTHER)
    assert studies_due(grouper, 164.0) == []
    evidence = "association released, then quiet for 60 s"
    assert studies_due(grouper, 165.0) == [("1.2", "released", evidence)]
    grouper.close_study("1.2")
    assert studies_due(grouper, 500.0) == []


def test_a_study_closes_at_once_when_every_listed_series_is_here():
    grouper = grouper_with((KEY, "1", "", "CT", 100.0), expected=Expected(retrieval(count=1)))
    grouper.close(KEY)
    assert studies_due(grouper, 100.0) == [("1.2", "listed", "1 of 1 series listed by PACS1")]


def test_a_study_that_lacks_a_listed_series_says_so():
    expected = Expected(retrieval(count=1))
    expected.series = {"9.9"}
    grouper = grouper_with((OTHER, "1", "", "CT", 100.0), expected=expected)
    grouper.close(OTHER)
    assert studies_due(grouper, 159.0) == []
    ((_, grade, evidence),) = studies_due(grouper, 160.0)
    assert grade == "quiet"
    assert evidence.endswith("; 0 of 1 series listed by PACS1")


def test_an_open_association_that_sent_to_an_earlier_revision_blocks_the_next():
    grouper = grouper_with()
    for name in ("a1", "a2"):
        grouper.note(event("accepted", name))
    arrive(grouper, KEY, "1", "a1", "CT", 100.0)
    grouper.close(KEY)
    arrive(grouper, KEY, "2", "a2", "CT", 200.0)
    grouper.note(event("released", "a2"))
    assert due(grouper, 220.0) == []
    grouper.note(event("released", "a1"))
    assert len(due(grouper, 220.0)) == 1
