"""Memory of the receiver: how much one huge instance takes, and whether associations leak."""

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from pydicom.uid import EnhancedCTImageStorage

from benchmarks.receive.instances import INSTANCE, MR, SERIES, STUDY, Kind, Series, encoded
from benchmarks.receive.peers import Peer, Setting, node
from benchmarks.receive.sender import Association, SendFailed, fragment_pdu, store_command

HUGE_BYTES = 1 << 31
HUGE_MB_GOAL = 32.0
LEAK_MB_GOAL = 1.0
_ENHANCED_CT = Kind("CT", EnhancedCTImageStorage, 512, 512)
_PDU = 131072
_WARM_UP = 500
_PIXEL_DATA = struct.pack("<HH", 0x7FE0, 0x0010) + b"OW\0\0"


def measure(folder: Path, associations: int, processes: int) -> None:
    """Print both."""
    with _receiver(folder, processes) as peer:
        huge = _huge_mb(peer)
        leak = _leak_mb(peer, associations)
    _print(f"one instance of {HUGE_BYTES >> 30} GiB, most of any process", huge, HUGE_MB_GOAL)
    _print("growth for 1,000 associations, all processes", leak, LEAK_MB_GOAL)


def send_huge(peer: Peer, series: Series, pixel_bytes: int) -> str:
    """Send an instance too large to be laid out at once; return its SOP Instance UID."""
    uid = next(series.instance_uids(1))
    head = _named(encoded(_ENHANCED_CT), series, uid)
    head = head[: head.index(_PIXEL_DATA)] + _PIXEL_DATA + struct.pack("<L", pixel_bytes)
    with Association(
        peer.port, peer.called_ae, _ENHANCED_CT, series, maximum_pdu_bytes=_PDU
    ) as association:
        size = association.maximum_pdu_bytes - 6
        association.send(store_command(_ENHANCED_CT.sop_class_uid, uid))
        association.send(fragment_pdu(head, 0x00))
        _send_pixels(association, pixel_bytes, size)
        status = association.read_status()
    if status != 0x0000:
        raise SendFailed(f"the instance of {pixel_bytes} bytes: status 0x{status:04X}")
    return uid


def _send_pixels(association: Association, pixel_bytes: int, size: int) -> None:
    whole, rest = divmod(pixel_bytes, size)
    fragment = fragment_pdu(bytes(size), 0x00)
    for _ in range(whole - (rest == 0)):
        association.send(fragment)
    association.send(fragment_pdu(bytes(rest or size), 0x02))


def _named(dataset: bytes, series: Series, uid: str) -> bytes:
    for placeholder, value in (
        (STUDY, series.StudyInstanceUID),
        (SERIES, series.SeriesInstanceUID),
        (INSTANCE, uid),
    ):
        dataset = dataset.replace(placeholder.encode(), value.encode())
    return dataset


def _huge_mb(peer: Peer) -> float:
    """What the greediest process needed for the huge instance beyond what it had."""
    _associate_often(peer, 20)
    before = _high_water_marks(peer, reset=True)
    send_huge(peer, Series.new(), HUGE_BYTES)
    after = _high_water_marks(peer, reset=False)
    peer.empty()
    return max(after[pid] - before[pid] for pid in before)


def _leak_mb(peer: Peer, associations: int) -> float:
    _associate_often(peer, _WARM_UP)
    before = _resident_mb(peer)
    _associate_often(peer, associations)
    return (_resident_mb(peer) - before) * 1000 / associations


def _associate_often(peer: Peer, associations: int) -> None:
    """Open associations one after the other, each for one instance."""
    for _ in range(associations):
        series = Series.new()
        with Association(
            peer.port, peer.called_ae, MR, series, maximum_pdu_bytes=_PDU
        ) as association:
            association.store(next(series.instance_uids(1)))


def _high_water_marks(peer: Peer, *, reset: bool) -> dict[int, float]:
    pids = [process.pid for process in peer.processes()]
    if reset:
        for pid in pids:
            Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5): back to what it has now
    return {pid: _status_mb(pid, "VmHWM") for pid in pids}


def _resident_mb(peer: Peer) -> float:
    return sum(_status_mb(process.pid, "VmRSS") for process in peer.processes())


def _status_mb(pid: int, name: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    return 0.0


@contextmanager
def _receiver(folder: Path, processes: int) -> Iterator[Peer]:
    with TemporaryDirectory(dir=folder, prefix="receive-") as place:
        setting = Setting(Path(place), _PDU, 1)
        yield from node(setting, processes=processes, durable=True)


def _print(what: str, measured_mb: float, goal_mb: float) -> None:
    verdict = "reached" if measured_mb <= goal_mb else "NOT reached"
    click.echo(f"{what}: {measured_mb:.2f} MB (goal: at most {goal_mb:g} MB, {verdict})")
