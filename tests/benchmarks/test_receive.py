"""The receive benchmark is honest: what it counts as sent is what receivers have stored.

How fast anything is, is not tested here.
"""

from contextlib import contextmanager
from functools import partial

import pytest

from benchmarks.receive import peers
from benchmarks.receive.crew import Storescus, crew
from benchmarks.receive.instances import CT, DX, MR, Series, encoded_as
from benchmarks.receive.memory import send_huge
from benchmarks.receive.report import compare
from benchmarks.receive.rounds import Case, Measurement, run
from benchmarks.receive.sender import Association, SendFailed

RECEIVERS = {
    "storescp": peers.storescp,
    "storescp -B": partial(peers.storescp, name="storescp-B", bits="-B"),
    "pynetdicom": peers.pynetdicom,
    "safelight": peers.node,
    "safelight durable": partial(peers.node, processes=2, durable=True),
}


@pytest.fixture
def receiver(request, program, tmp_path):
    """The running receiver that the test is about."""
    return request.getfixturevalue("start")(RECEIVERS[request.param])


@pytest.fixture
def start(program, tmp_path):
    """Function that starts a receiver and returns it; it is ended after the test."""
    running = []

    def enter(receiver, associations=1):
        program("storescp")
        entered = contextmanager(receiver)(peers.Setting(tmp_path, 16384, associations))
        running.append(entered)
        return entered.__enter__()

    yield enter
    for entered in running:
        entered.__exit__(None, None, None)


def datasets(folder):
    """The datasets of all Part 10 files below a folder, sorted, without their file meta."""
    files = [path.read_bytes() for path in folder.rglob("*") if path.is_file()]
    part10 = [data for data in files if data[128:132] == b"DICM"]
    return sorted(data[144 + int.from_bytes(data[140:144], "little") :] for data in part10)


def send(peer, kind, series, uids, maximum_pdu_bytes=131072):
    with Association(
        peer.port, peer.called_ae, kind, series, maximum_pdu_bytes=maximum_pdu_bytes
    ) as association:
        for uid in uids:
            association.store(uid)
        return association.maximum_pdu_bytes


@pytest.mark.parametrize("receiver", RECEIVERS, indirect=True)
@pytest.mark.parametrize("kind", [CT, MR, DX], ids=lambda kind: kind.modality)
def test_a_receiver_stores_exactly_the_bytes_that_were_laid_out(receiver, kind, tmp_path):
    series = Series.new()
    uids = list(series.instance_uids(3))
    send(receiver, kind, series, uids)
    expected = sorted(encoded_as(kind, series, uid) for uid in uids)
    assert datasets(tmp_path) == expected
    assert len(set(expected)) == 3


def test_the_limit_of_the_receiver_is_kept(start):
    storescp = start(peers.storescp)
    series = Series.new()
    assert send(storescp, CT, series, series.instance_uids(1)) == 16384


def test_a_failure_status_ends_the_sending(start, tmp_path):
    storescp = start(peers.storescp)
    (tmp_path / "storescp").rmdir()
    series = Series.new()
    with pytest.raises(SendFailed, match="status 0xA700"):
        send(storescp, CT, series, series.instance_uids(1))


def test_a_refused_association_ends_the_sending(start):
    node = start(peers.node)
    with pytest.raises(SendFailed, match="PDU of type 0x03"):
        Association(node.port, "NOBODY", MR, Series.new(), maximum_pdu_bytes=4096)


def test_several_associations_deliver_all_they_were_asked_for(start):
    storescp = start(peers.storescp, associations=4)
    with crew(MR, 16384, 4) as senders:
        assert senders.send(storescp, 5) > 0
    assert storescp.stored() == 20


def test_a_failing_member_of_a_crew_ends_the_round(start, tmp_path):
    storescp = start(peers.storescp, associations=2)
    (tmp_path / "storescp").rmdir()
    with crew(MR, 16384, 2) as senders, pytest.raises(SendFailed, match="0xA700"):
        senders.send(storescp, 5)


def test_storescu_delivers_its_folders(start, tmp_path):
    storescp = start(peers.storescp, associations=2)
    Storescus(MR, 16384, 2, 3, tmp_path / "sent").send(storescp, 3)
    assert datasets(tmp_path / "storescp") == datasets(tmp_path / "sent")


def test_the_huge_instance_arrives_whole(start, tmp_path):
    node = start(peers.node)
    send_huge(node, Series.new(), 1 << 20)
    (dataset,) = datasets(tmp_path / "safelight")
    assert dataset.endswith(bytes(1 << 20))
    assert dataset[: -(1 << 20)].endswith(
        b"\xe0\x7f\x10\x00OW\0\0" + (1 << 20).to_bytes(4, "little")
    )


def test_a_round_that_lost_instances_is_no_measurement(program, tmp_path, monkeypatch):
    program("storescp")

    def forgetful(setting):
        for peer in peers.storescp(setting):
            yield peers.Peer(
                peer.name, peer.port, peer.called_ae, peer.process, lambda: 0, peer.empty
            )

    case = Case("MR", MR, 16384, 1, 2, [forgetful])
    with pytest.raises(SendFailed, match="keeps 0 instances of 2"):
        run(case, 1, tmp_path)


def test_every_receiver_takes_its_turn_in_every_round(program, tmp_path):
    program("storescp")
    second = partial(peers.storescp, name="storescp -B", bits="-B")
    measured = run(Case("MR", MR, 16384, 2, 3, [peers.storescp, second]), 2, tmp_path)
    assert {name: [each.instances for each in rounds] for name, rounds in measured.items()} == {
        "storescp": [6, 6],
        "storescp -B": [6, 6],
    }


def test_a_ratio_is_that_of_the_medians_and_quartiles_are_of_the_rounds():
    def rounds(*seconds):
        return [Measurement(10, each, 0.1) for each in seconds]

    case = Case("CT 16K x1", CT, 16384, 1, 10, [])
    measured = {"safelight": rounds(1, 2, 4), "storescp": rounds(4, 4, 4)}
    # Rates: ours 10, 5 and 2.5, theirs 2.5; ratios of the rounds 4, 2 and 1.
    (comparison,) = compare(case, measured)
    assert (comparison.ours_per_second, comparison.theirs_per_second) == (5, 2.5)
    assert comparison.ratio == 2
    assert (comparison.lower_quartile, comparison.upper_quartile) == (1.5, 3)
    assert comparison.ours_cpu_ms == 10
    assert comparison.verdict == "1.1 reached"
