"""What is measured, and what is aimed at."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import partial

from benchmarks.receive import peers
from benchmarks.receive.instances import CT, DX, MR, Kind
from benchmarks.receive.peers import Start
from benchmarks.receive.rounds import Case, SenderName

SMALL_PDU, LARGE_PDU = 16384, 131072

GOALS = {"storescp": 1.1, "storescp -B": 1.1, "raw": 0.75, "orthanc": 4.0}
"""Receiver to our speed over its own. The untuned storescp is shown and has no goal."""
PYNETDICOM_GOALS = {1: 8.0, 4: 10.0}
"""The same for pynetdicom, by the number of associations."""

_SAFELIGHT = partial(peers.node, processes=2)
_STORESCP = peers.storescp
_STORESCP_PARSING = partial(peers.storescp, name="storescp -B", bits="-B")
_STORESCP_UNTUNED = partial(peers.storescp, name="storescp untuned", tuned=False)

# Instances of a round: about a second of the slower receiver.
_AGAINST_STORESCP = {CT: 400, MR: 1000, DX: 20}
_AGAINST_ORTHANC = {CT: 100, MR: 160, DX: 8}
_AGAINST_PYNETDICOM = {CT: 60, MR: 100, DX: 8}
_BY_STORESCU = {CT: 200, MR: 480, DX: 8}


_SENDERS: Mapping[str, SenderName] = {
    "storescu": "storescu",
    "storescu Nagle": "storescu Nagle",
}


def goal(case: Case, peer: str) -> float | None:
    """How much faster than `peer` we want to be; None where nothing is claimed."""
    if case.sender == "storescu Nagle":
        return None
    if peer == "pynetdicom":
        return PYNETDICOM_GOALS[case.associations]
    return GOALS.get(peer)


def comparisons() -> Iterator[Case]:
    """All cases of the full benchmark."""
    yield from _against_storescp()
    yield _case(CT, SMALL_PDU, 1, 24, [_SAFELIGHT, _STORESCP_UNTUNED], note="untuned")
    for kind, associations in itertools.product(_BY_STORESCU, (1, 4)):
        total = _BY_STORESCU[kind]
        receivers: list[Start] = [_SAFELIGHT, _STORESCP]
        yield _case(kind, LARGE_PDU, associations, total, receivers, note="storescu")
    yield _case(CT, LARGE_PDU, 1, 24, [_SAFELIGHT, _STORESCP], note="storescu Nagle")
    for kind, associations in itertools.product(_AGAINST_ORTHANC, (1, 4)):
        total = _AGAINST_ORTHANC[kind]
        receivers = [peers.daemon, peers.orthanc]
        yield _case(kind, SMALL_PDU, associations, total, receivers, note="durable")
    for kind, associations in itertools.product(_AGAINST_PYNETDICOM, (1, 4)):
        total = _AGAINST_PYNETDICOM[kind]
        receivers = [_SAFELIGHT, peers.pynetdicom]
        yield _case(kind, SMALL_PDU, associations, total, receivers, note="pynetdicom")


def _against_storescp() -> Iterator[Case]:
    for pdu, kind, associations in itertools.product(
        (SMALL_PDU, LARGE_PDU), _AGAINST_STORESCP, (1, 4)
    ):
        receivers: list[Start] = [_SAFELIGHT, _STORESCP, _STORESCP_PARSING, peers.raw]
        yield _case(kind, pdu, associations, _AGAINST_STORESCP[kind], receivers)


def by_processes() -> Iterator[Case]:
    """One to four receiver processes against each other, not durable and durable."""
    for durable in (False, True):
        receivers: list[Start] = [
            partial(peers.node, processes=number, durable=durable, name=f"{number} processes")
            for number in (1, 2, 3, 4)
        ]
        for kind in (CT, MR):
            for associations in (1, 4, 8):
                total = _AGAINST_STORESCP[kind]
                note = "durable" if durable else ""
                yield _case(kind, LARGE_PDU, associations, total, receivers, note=note)


def _case(
    kind: Kind,
    maximum_pdu_bytes: int,
    associations: int,
    total: int,
    receivers: Sequence[Start],
    *,
    note: str = "",
) -> Case:
    name = f"{kind.modality} {maximum_pdu_bytes // 1024}K x{associations} {note}".rstrip()
    count = total // associations
    return Case(
        name, kind, maximum_pdu_bytes, associations, count, receivers, _SENDERS.get(note, "fast")
    )
