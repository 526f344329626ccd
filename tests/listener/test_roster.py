"""The table of connections, within one process and between two."""

import multiprocessing

from listener.roster import Roster


def test_connections_are_counted_by_address_and_associations_in_all():
    part = Roster(1, 5).part(0)
    rows = [part.enter(address) for address in ("10.0.0.1", "10.0.0.1", "::1")]
    part.associate(rows[0])
    part.associate(rows[2])
    assert part.connections_from("10.0.0.1") == 2
    assert part.connections_from("::1") == 1
    assert part.connections_from("10.0.0.2") == 0
    assert part.associations() == 2
    assert part.associations_from("10.0.0.1") == 1
    part.leave(rows[0])
    assert (part.connections_from("10.0.0.1"), part.associations()) == (1, 1)


def test_an_ipv4_address_is_the_same_when_it_comes_mapped():
    part = Roster(1, 5).part(0)
    part.enter("::ffff:10.0.0.1")
    assert part.connections_from("10.0.0.1") == 1


def test_rows_run_out_and_come_back():
    part = Roster(1, 5).part(0)
    rows = []
    while (row := part.enter("10.0.0.1")) is not None:
        rows.append(row)
    assert len(rows) == 5 + 64
    part.leave(rows[7])
    assert part.enter("10.0.0.2") == rows[7]


def enter_twice(roster, process):
    part = roster.part(process)
    for _ in range(2):
        part.associate(part.enter("10.0.0.1"))


def test_processes_see_each_others_connections_and_a_restart_clears_its_own():
    roster = Roster(2, 5)
    ours = roster.part(0)
    ours.enter("10.0.0.1")
    other = multiprocessing.get_context("fork").Process(target=enter_twice, args=(roster, 1))
    other.start()
    other.join()
    assert other.exitcode == 0
    assert (ours.connections_from("10.0.0.1"), ours.associations()) == (3, 2)
    roster.part(1)
    assert (ours.connections_from("10.0.0.1"), ours.associations()) == (1, 0)
