"""Names and UIDs that a peer chose to do harm, or sent twice."""

import json
import struct
import threading
from dataclasses import replace

import pytest
from canary import make_instance
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, MRImageStorage, generate_uid
from raw_peer import ECHO
from wronged_node import wait_until

TITLES = {
    "a path upwards": b"../../../evil",
    "an absolute path": b"/tmp/evil",
    "two log lines": b"A\r\nFORGED LINE",
    "a shell command": b"$(touch pwned)",
    "a shell command of old": b"`touch pwned`",
    "a colour of the terminal": b"\x1b[31mRED",
    "a backslash": b"A\\B",
    "bytes that are no ASCII": b"\xff\xfe\x80",
    "HTML": b"<script>",
}
UNSAFE = {
    "a path upwards": "../../../evil",
    "a path within": "1.2/3",
    "an absolute path": "/tmp/evil",
    "the folder above": "..",
    "the folder itself": ".",
    "a NUL": "1.2\x003.4",
    "a newline": "1.2\n3",
    "letters": "CANARY",
    "a component too little": "1..2",
    "a dot at the end": "1.2.",
    "a backslash": "1.2\\1.3",
    "a sign": "-1.2",
    "digits of another script": "1.2.\xb2",
    "65 characters": "1." + "2" * 63,
    "66 characters": "1." + "2" * 64,
    "1000 characters": "1." + "2" * 998,
}
KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


def files_beside_the_spool(node):
    """What lies in the daemon's folder, without what grows there by itself."""
    return {
        path
        for entry in node.folder.iterdir()
        if entry.name not in ("data", "log")
        for path in (entry, *entry.rglob("*"))
    }


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES.keys())
def test_a_calling_ae_title_reaches_no_path_no_shell_and_no_raw_log_line(node, title):
    before = files_beside_the_spool(node)
    instance, refused = make_instance(), make_instance(SeriesInstanceUID="")
    peer = node.associated(calling=title)
    assert peer.store(instance).status == 0x0000
    assert peer.store(refused).status == 0xC000  # so that the log has a line of it
    peer.release()
    assert len(node.kept(instance)) == 1
    series = instance_series(node, instance)
    row = node.wait_for_ended(series)
    assert row.calling_ae.encode("latin-1") == title
    assert files_beside_the_spool(node) == before
    assert all("evil" not in path.name for path in (node.folder / "data").rglob("*"))
    node.require_clean_log()


def instance_series(node, instance):
    (path,) = node.kept(instance)
    return path.parent.name


@pytest.mark.parametrize("title", TITLES.values(), ids=TITLES.keys())
def test_a_called_ae_title_reaches_no_path_no_shell_and_no_raw_log_line(node, title):
    before = files_beside_the_spool(node)
    peer = node.connect()
    assert peer.associate(called=title) == (3, bytes((0, 1, 1, 7)))
    assert node.wait_for_association(peer, "rejected").called_ae
    assert files_beside_the_spool(node) == before
    node.require_clean_log()


def test_an_unknown_transfer_syntax_refuses_its_context_and_the_rest_works(node):
    contexts = {
        1: (CTImageStorage, [ExplicitVRLittleEndian]),
        3: (CTImageStorage, ["1.2.3.4.5"]),
        5: ("1.2.3.4.5.6", [ExplicitVRLittleEndian]),
        7: (MRImageStorage, ["1.2.3.4.5", ExplicitVRLittleEndian]),
    }
    peer = node.connect()
    assert peer.results(peer.associate(contexts=contexts)) == {1: 0, 3: 4, 5: 3, 7: 0}
    assert peer.store(make_instance()).status == 0x0000
    assert peer.store(make_instance(SOPClassUID=MRImageStorage), 7).status == 0x0000
    peer.release()
    reasons = [e["reason"] for e in node.events(peer) if e["event"] == "refused"]
    assert len(reasons) == 2
    assert "1.2.3.4.5.6" in reasons[1]


@pytest.mark.parametrize("context", [3, 9])
def test_an_instance_in_a_context_that_was_not_accepted_aborts(node, context):
    contexts = {
        1: (CTImageStorage, [ExplicitVRLittleEndian]),
        3: (CTImageStorage, ["1.2.3.4.5"]),
    }
    peer = node.associated(contexts=contexts)
    instance = make_instance()
    peer.offer(instance, context)
    abort = peer.read()
    assert abort is not None
    assert (abort.kind, abort.body[2]) == (7, 2)
    node.wait_for_association(peer, "aborted")
    assert node.kept(instance) == []


def test_an_instance_in_the_context_of_another_service_aborts(node):
    peer = node.associated()
    instance = make_instance()
    peer.offer(instance, ECHO)
    assert peer.read().kind == 7
    assert node.kept(instance) == []


def test_the_same_bytes_again_are_acknowledged_and_bring_no_new_job(node):
    instance = make_instance(SeriesInstanceUID=(series := generate_uid()))
    send(node, instance)
    before = node.wait_for_ended(series)
    again = send(node, instance)
    assert node.wait_for_association(again, "released").duplicates == 1
    send(node, make_instance())  # whatever the duplicate set off is recorded by then
    row = node.wait_for_ended(series)
    assert (row.instances, row.revision) == (1, 1)
    assert row.last_arrival_at == before.last_arrival_at
    assert len(node.read_ledger(lambda reader: reader.jobs_of(row.id))) == 1
    assert len(node.kept(instance)) == 1
    assert node.quarantined(instance) == []


def send(node, *instances):
    """Send instances on an association of their own; return the peer."""
    peer = node.associated()
    for instance in instances:
        assert peer.store(instance).status == 0x0000
    peer.release()
    return peer


def test_other_bytes_under_the_same_uid_are_acknowledged_and_set_aside_with_an_alarm(node):
    uid, series = generate_uid(), generate_uid()
    first = make_instance(SOPInstanceUID=uid, SeriesInstanceUID=series)
    second = make_instance(SOPInstanceUID=uid, SeriesInstanceUID=series, Modality="MR")
    send(node, first)
    peer = send(node, second)
    (kept,) = node.kept(first)
    assert kept.read_bytes().endswith(first.dataset)
    (aside,) = node.quarantined(second)
    assert aside.read_bytes().endswith(second.dataset)
    reason = json.loads(aside.with_suffix(".json").read_text())["reason"]
    assert "other bytes" in reason
    assert node.wait_for_association(peer, "released").quarantined == 1
    wait_until(lambda: is_alarmed(node, uid), "the alarm in the ledger")
    send(node, second)  # the second version again is no third
    assert len(node.quarantined(second)) == 1


def is_alarmed(node, uid):
    rows = node.read_ledger(lambda reader: reader.quarantine(limit=1000))
    return any(row.name.startswith(f"{uid}-") and row.reason for row in rows)


@pytest.mark.parametrize("study", ["1.2.826.5", "1.2.826.6"], ids=["two series", "two studies"])
def test_the_same_instance_uid_in_two_series_keeps_the_first_and_sets_the_second_aside(node, study):
    uid = generate_uid()
    first = make_instance(SOPInstanceUID=uid, StudyInstanceUID="1.2.826.5")
    second = make_instance(SOPInstanceUID=uid, StudyInstanceUID=study)
    send(node, first)
    node.wait_for_ended(instance_series(node, first))
    send(node, second)
    wait_until(lambda: is_alarmed(node, uid), "the alarm in the ledger")
    (kept,) = node.kept(first)
    assert kept.read_bytes().endswith(first.dataset)
    (aside,) = node.quarantined(second)
    assert aside.read_bytes().endswith(second.dataset)


def test_the_same_instance_on_eight_associations_at_once_is_one_file_and_one_row(node):
    instance = make_instance(SeriesInstanceUID=(series := generate_uid()))
    assert at_once(node, [instance] * 8) == [0x0000] * 8
    assert len(node.kept(instance)) == 1
    assert node.quarantined(instance) == []
    row = node.wait_for_ended(series)
    assert (row.instances, row.revision) == (1, 1)


def test_eight_versions_of_an_instance_at_once_are_one_file_and_seven_aside(node):
    uid, series = generate_uid(), generate_uid()
    versions = [
        make_instance(SOPInstanceUID=uid, SeriesInstanceUID=series, InstanceNumber=n)
        for n in range(8)
    ]
    assert at_once(node, versions) == [0x0000] * 8
    assert len(node.kept(versions[0])) == 1
    assert len(node.quarantined(versions[0])) == 7
    assert node.wait_for_ended(series).instances == 1


def at_once(node, instances):
    """Send instances on as many associations, all in the same moment; return the statuses."""
    barrier = threading.Barrier(len(instances))
    statuses = []

    def run(peer, instance):
        peer.send(peer.store_rq(instance) + peer.dataset(instance.dataset)[:-100])
        barrier.wait(20)
        peer.send(peer.dataset(instance.dataset)[-100:])
        statuses.append(peer.answer().status)

    peers = [node.associated() for _ in instances]
    threads = [
        threading.Thread(target=run, args=pair) for pair in zip(peers, instances, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    node.acknowledged.extend(instances)
    for peer in peers:
        peer.release()
    return statuses


def require_refused(node, instance, status=0xC000):
    """Offer an instance that must be refused, on an association that must go on."""
    before = files_beside_the_spool(node)
    places = {path for path in node.spool.rglob("*") if path.parent != node.spool / "journal"}
    peer = node.associated()
    answer = peer.store(instance)
    assert answer.status == status
    assert answer.comment
    assert "CANARY" not in answer.comment.upper()
    assert peer.echo().status == 0x0000
    peer.release()
    assert f"0x{status:04X}" in node.wait_for_event(peer, "refused")["reason"]
    assert node.wait_for_event(peer, "released")["refused"] == 1
    assert files_beside_the_spool(node) == before
    after = {path for path in node.spool.rglob("*") if path.parent != node.spool / "journal"}
    assert after == places
    return answer


@pytest.mark.parametrize("keyword", [*KEYWORDS, "SOPClassUID"])
@pytest.mark.parametrize("value", ["", None], ids=["empty", "missing"])
def test_an_instance_without_a_uid_is_refused(node, keyword, value):
    named = make_instance()
    instance = make_instance(**{keyword: value})
    whole = replace(
        instance,
        sop_class_uid=instance.sop_class_uid or named.sop_class_uid,
        sop_instance_uid=instance.sop_instance_uid or named.sop_instance_uid,
    )
    answer = require_refused(node, whole)
    assert keyword in answer.comment


def test_a_refusal_is_in_the_ledger_with_its_reason(node):
    peer = node.associated()
    assert peer.store(make_instance(StudyInstanceUID="")).status == 0xC000
    peer.release()
    assert node.wait_for_association(peer, "released").refused == 1
    refusals = node.read_ledger(lambda reader: reader.refusals(limit=1000))
    (reason,) = [row.reason for row in refusals if row.calling_ae == peer.calling]
    assert "StudyInstanceUID is missing" in reason


@pytest.mark.parametrize("uid", UNSAFE.values(), ids=UNSAFE.keys())
@pytest.mark.parametrize("keyword", KEYWORDS)
def test_an_unsafe_uid_is_refused_and_never_a_path(node, keyword, uid):
    answer = require_refused(node, unsafe_instance(keyword, uid))
    assert keyword in answer.comment


def unsafe_instance(keyword, uid):
    """An instance whose dataset, and command where it names it, have `uid` as it stands."""
    instance = make_instance(**{keyword: uid})
    value = uid.encode("latin-1") + b"\0" * (len(uid) % 2)
    assert struct.pack("<2sH", b"UI", len(value)) + value in instance.dataset
    return replace(instance, sop_instance_uid=uid) if keyword == KEYWORDS[2] else instance


def test_a_uid_of_64_characters_is_taken(node):
    instance = make_instance(
        **{keyword: f"1.{number}" + "3" * 61 for number, keyword in enumerate(KEYWORDS)}
    )
    assert len(instance.sop_instance_uid) == 64
    send(node, instance)
    (path,) = node.kept(instance)
    assert path.stem == instance.sop_instance_uid


@pytest.mark.parametrize(
    "named",
    [
        {"sop_instance_uid": "1.2.826.99"},
        {"sop_instance_uid": ""},
        {"sop_instance_uid": "../../../evil"},
        {"sop_instance_uid": "1." + "2" * 998},
        {"sop_class_uid": MRImageStorage},
    ],
    ids=["another instance", "none", "a path", "1000 characters", "another class"],
)
def test_a_command_that_names_something_else_than_its_dataset_is_refused(node, named):
    require_refused(node, replace(make_instance(), **named), 0xA900)
