"""Datasets that lie about themselves: cut off, nested without end, or much larger than they look.

Not covered: a file whose meta names another transfer syntax than its content has, which only an
import from a folder could bring; there is none.
"""

import re
import struct
import zlib
from dataclasses import replace
from pathlib import Path

import pytest
from canary import make_instance
from pydicom.uid import generate_uid
from raw_peer import DEFLATED, IMPLICIT
from wronged_node import wait_until

MIB = 1 << 20
PIXEL_DATA = b"\xe0\x7f\x10\x00OW"
STUDY_UID = b"\x20\x00\x0d\x00UI"


def send(node, *instances, context=1):
    """Send instances on an association of their own; return the answers."""
    peer = node.associated()
    answers = [peer.store(instance, context) for instance in instances]
    peer.release()
    return answers


def require_stored(node, *instances, context=1):
    answers = send(node, *instances, context=context)
    assert {answer.status for answer in answers} == {0x0000}, answers


@pytest.fixture
def lasting(node):
    """The daemon, of whose processes none but a worker may end, nor ask for gigabytes."""
    before = {process: peak_address_space_mib(process) for process in node.lasting_processes()}
    yield node
    assert set(before) <= set(node.lasting_processes())
    for process, peak in before.items():
        assert peak_address_space_mib(process) - peak < 2048


def peak_address_space_mib(process):
    """The most memory a process ever asked for, used or not; 0 of one that has ended."""
    try:
        status = Path(f"/proc/{process.pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    peak = re.search(r"VmPeak:\s+(\d+)", status)
    return int(peak[1]) / 1024 if peak else 0


CUTS = {
    "within the pixel data": lambda dataset: dataset[: dataset.index(PIXEL_DATA) + 112],
    "at the length of the pixel data": lambda dataset: dataset[: dataset.index(PIXEL_DATA) + 8],
    "before the pixel data": lambda dataset: dataset[: dataset.index(PIXEL_DATA)],
    "within the header of an element": lambda d: d[: d.index(b"\x28\x00\x11\x00US") + 5],
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
def test_a_cut_off_instance_is_kept_and_flagged_and_nothing_is_converted(lasting, cut):
    series = generate_uid()
    stack = [
        make_instance(
            SeriesInstanceUID=series, InstanceNumber=n, ImagePositionPatient=[-8, -8, 2 * n]
        )
        for n in range(4)
    ]
    stack[2] = replace(stack[2], dataset=cut(stack[2].dataset))
    require_stored(lasting, *stack)
    row = lasting.wait_for_ended(series)
    assert row.instances + is_quarantined(lasting, stack[2]) == 4
    assert row.results["convert"].startswith("cannot convert because")
    jobs = lasting.read_ledger(lambda reader: reader.jobs_of(row.id))
    assert [output for job in jobs for output in job.outputs if output.kind == "nifti"] == []


def test_an_instance_that_ends_before_its_uids_is_refused(lasting):
    instance = make_instance()
    for end in (0, 3, 8, 60, instance.dataset.index(STUDY_UID) + 4):
        (answer,) = send(lasting, replace(instance, dataset=instance.dataset[:end]))
        assert answer.status == 0xC000, end
    assert lasting.kept(instance) == []


def nested(depth, tag, *, implicit=False, defined=False):
    """Sequences within each other, `depth` of them."""
    group, element = tag >> 16, tag & 0xFFFF
    head = struct.pack("<HH", group, element) + (b"" if implicit else b"SQ\0\0")
    if not defined:
        begin = head + struct.pack("<IHHI", 0xFFFFFFFF, 0xFFFE, 0xE000, 0xFFFFFFFF)
        end = struct.pack("<HHIHHI", 0xFFFE, 0xE00D, 0, 0xFFFE, 0xE0DD, 0)
        return begin * depth + end * depth
    content = b""
    for _ in range(depth):
        item = struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content
        content = head + struct.pack("<I", len(item)) + item
    return content


@pytest.mark.parametrize("defined", [False, True], ids=["undefined length", "defined length"])
@pytest.mark.parametrize("depth", [300, 20_000])
def test_sequences_nested_deeper_than_any_parser_goes_are_flagged(lasting, depth, defined):
    """They lie behind the UIDs, so the instance is taken; what cannot read it says so."""
    instance = make_instance(SeriesInstanceUID=(series := generate_uid()))
    at = instance.dataset.index(b"\x28\x00")
    deep = nested(depth, 0x00209221, defined=defined)
    instance = replace(instance, dataset=instance.dataset[:at] + deep + instance.dataset[at:])
    require_stored(lasting, instance)
    wait_until(lambda: is_judged(lasting, instance, series), "the instance to be judged", 60)
    row = lasting.series_of(series)
    assert row is None or not row.results.get("convert", "").startswith("1/1")


def is_judged(node, instance, series):
    """Whether it is in quarantine with a reason, or its series has ended."""
    row = node.series_of(series)
    ended = row is not None and row.state in ("done", "attention")
    return ended or is_quarantined(node, instance)


def is_quarantined(node, instance):
    rows = node.read_ledger(lambda reader: reader.quarantine(limit=1000))
    return any(row.name.startswith(instance.sop_instance_uid) and row.reason for row in rows)


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
@pytest.mark.parametrize("depth", [300, 20_000])
def test_sequences_nested_before_the_uids_are_answered(lasting, depth, implicit):
    instance = make_instance(implicit=implicit)
    at = instance.dataset.index(b"\x10\x00\x10\x00")  # (0010,0010), before the study
    deep = nested(depth, 0x00081140, implicit=implicit)
    instance = replace(instance, dataset=instance.dataset[:at] + deep + instance.dataset[at:])
    (answer,) = send(lasting, instance, context=IMPLICIT if implicit else 1)
    assert answer.status in (0x0000, 0xC000)
    assert answer.status == 0xC000 or lasting.kept(instance)


LONG = 0xFFFFFFFE


@pytest.mark.parametrize("vr", [b"OB", b"UN", b"UT", b"SQ"])
def test_an_element_of_4_gib_before_the_uids_is_refused_without_room_for_it(lasting, vr):
    grown = lasting.memory_growth()
    instance = make_instance()
    at = instance.dataset.index(b"\x10\x00\x10\x00")
    huge = struct.pack("<HH2sxxI", 0x0009, 0x1001, vr, LONG)
    instance = replace(instance, dataset=instance.dataset[:at] + huge + instance.dataset[at:])
    (answer,) = send(lasting, instance)
    assert answer.status == 0xC000
    assert lasting.kept(instance) == []
    assert grown() < 20


@pytest.mark.parametrize("implicit", [False, True], ids=["explicit", "implicit"])
def test_pixel_data_of_4_gib_that_are_512_bytes_are_flagged_without_room_for_them(
    lasting, implicit
):
    series = generate_uid()
    instance = make_instance(SeriesInstanceUID=series, implicit=implicit)
    head = PIXEL_DATA[:4] if implicit else PIXEL_DATA + b"\0\0"
    claimed = head + struct.pack("<I", LONG)
    dataset = instance.dataset.replace(head + struct.pack("<I", 512), claimed)
    assert claimed in dataset
    require_stored(lasting, replace(instance, dataset=dataset), context=IMPLICIT if implicit else 1)
    row = lasting.wait_for_ended(series)
    assert row.results["convert"].startswith("cannot convert because")
    for process in lasting.processes():
        assert peak_address_space_mib(process) < 4096


def test_an_element_of_4_gib_behind_the_uids_is_flagged_without_room_for_it(lasting):
    series = generate_uid()
    instance = make_instance(SeriesInstanceUID=series)
    at = instance.dataset.index(b"\x28\x00")
    huge = struct.pack("<HH2sxxI", 0x0021, 0x1001, b"OB", LONG)
    instance = replace(instance, dataset=instance.dataset[:at] + huge + instance.dataset[at:])
    require_stored(lasting, instance)
    wait_until(lambda: is_judged(lasting, instance, series), "the instance to be judged")
    row = lasting.series_of(series)
    assert row is None or "cannot convert because" in row.results["convert"]


def deflated(data):
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    content = deflate.compress(data) + deflate.flush()
    return content + b"\0" * (len(content) % 2)


def test_a_deflated_instance_is_stored_as_it_came(lasting):
    instance = make_instance(SeriesInstanceUID=(series := generate_uid()))
    instance = replace(instance, dataset=deflated(instance.dataset))
    require_stored(lasting, instance, context=DEFLATED)
    assert lasting.kept(instance)[0].read_bytes().endswith(instance.dataset)
    assert lasting.wait_for_ended(series).instances == 1


@pytest.mark.parametrize("place", ["in the pixel data", "before the UIDs"])
def test_a_deflate_bomb_is_refused_within_bounds(lasting, place):
    grown = lasting.memory_growth()
    if place == "in the pixel data":
        bomb = make_instance(PixelData=bytes(200 * MIB))
    else:
        bomb = make_instance()
        at = bomb.dataset.index(b"\x10\x00\x10\x00")
        private = struct.pack("<HH2sxxI", 0x0009, 0x1001, b"OB", 200 * MIB) + bytes(200 * MIB)
        bomb = replace(bomb, dataset=bomb.dataset[:at] + private + bomb.dataset[at:])
    bomb = replace(bomb, dataset=deflated(bomb.dataset))
    assert len(bomb.dataset) < MIB
    (answer,) = send(lasting, bomb, context=DEFLATED)
    assert answer.status == 0xC000
    assert lasting.kept(bomb) == []
    assert grown() < 20


@pytest.mark.parametrize("content", [b"\xff" * 400, b"", b"\x03\x00"])
def test_a_deflated_dataset_that_cannot_be_inflated_is_refused(lasting, content):
    instance = replace(make_instance(), dataset=content)
    (answer,) = send(lasting, instance, context=DEFLATED)
    assert answer.status == 0xC000
    assert lasting.kept(instance) == []


def test_implicit_vr_in_an_explicit_context_is_refused_or_kept_as_it_came(lasting):
    instance = make_instance(implicit=True)
    (answer,) = send(lasting, instance)
    assert answer.status in (0x0000, 0xC000)
    if answer.status == 0xC000:
        assert lasting.kept(instance) == []
