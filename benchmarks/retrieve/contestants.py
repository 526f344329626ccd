"""The PACS, and those that retrieve from it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from benchmarks.programs import PeerFailed, free_port, running, wait_for_port
from benchmarks.receive.instances import Kind, Series, write_files
from ledger.retrieve_reader import RetrieveReader
from listener.durable import write_durably

_TUNED = {"TCP_NODELAY": "1"}
_MAXIMUM_PDU_BYTES = 131072  # of all
_SECONDS = 600


@dataclass(frozen=True)
class Study:
    """A study in the PACS."""

    accession: str
    uid: str
    count: int


@dataclass(frozen=True)
class Turn:
    """What one retrieve took, in seconds.

    Attributes
    ----------
    wall : float
        From the start of the command to its end.
    arrived : float
        From the start of the command until the last instance had its name.
    durable : float
        From the start of the command until all of it is on the disk: with a sync of the
        filesystem after those commands that do not care.
    order : float or None
        From the beginning to the end of the work, as our ledger says: without starting the
        command, with the proof.
    """

    wall: float
    arrived: float
    durable: float
    order: float | None = None


Retrieve = Callable[[Study], Turn]


@dataclass(frozen=True)
class _Way:
    """A way in which ours retrieves: how, and over how many associations."""

    name: str
    ae_title: str
    method: Literal["move", "get"]
    streams: int = 1


_WAYS = (
    _Way("ours, C-MOVE", "SAFELIGHT_MOVE", "move"),
    _Way("ours, C-MOVE x4", "SAFELIGHT_4", "move", 4),
    _Way("ours, C-GET", "SAFELIGHT_GET", "get"),
)


@dataclass(frozen=True)
class Site:
    """A PACS, and those that retrieve from it."""

    contestants: dict[str, Retrieve]
    load: Callable[[Kind, str, int], Study]


@contextmanager
def site(folder: Path) -> Iterator[Site]:
    """Run Orthanc, DCMTK's storescp, and a daemon of ours for each way to retrieve.

    Raises
    ------
    PeerFailed
        A program is not installed or does not come up.
    """
    ports = {name: free_port() for name in ("STORESCP", *(one.ae_title for one in _WAYS))}
    with ExitStack() as stack:
        pacs = stack.enter_context(_orthanc(folder / "orthanc", ports))
        received = folder / "storescp"
        received.mkdir()
        command = ["storescp", "+B", "-pdu", str(_MAXIMUM_PDU_BYTES), "-aet", "STORESCP"]
        command += ["-od", str(received), str(ports["STORESCP"])]
        stack.enter_context(running(command, received, ports["STORESCP"], _TUNED))
        contestants: dict[str, Retrieve] = {"movescu": _movescu(pacs, received)}
        contestants["fsync alone"] = _fsync_alone(folder / "fsync", received)
        for way in _WAYS:
            daemon = _daemon(folder / way.ae_title.lower(), way, ports[way.ae_title], pacs)
            contestants[way.name] = _ours(stack.enter_context(daemon), way.method)
        yield Site(contestants, lambda kind, name, count: _load(folder, pacs, kind, name, count))


@contextmanager
def _orthanc(folder: Path, ports: dict[str, int]) -> Iterator[int]:
    folder.mkdir()
    port, http_port = free_port(), free_port()
    settings = {
        "StorageDirectory": str(folder / "storage"),
        "IndexDirectory": str(folder / "index"),
        "DicomAet": "ORTHANC",
        "DicomPort": port,
        "HttpPort": http_port,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "DicomAlwaysAllowStore": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": {name: [name, "127.0.0.1", at] for name, at in ports.items()},
        "MaximumPduLength": _MAXIMUM_PDU_BYTES,
        "SyncStorageArea": False,  # while it is loaded
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    command = ["Orthanc", str(folder / "orthanc.json")]
    with running(command, folder, port, _TUNED) as process:
        wait_for_port(http_port, process, folder.with_suffix(".log"))
        yield port


def _load(folder: Path, pacs: int, kind: Kind, accession: str, count: int) -> Study:
    """Make a study and send it to the PACS; its files are removed again."""
    files = folder / accession
    series: Series = write_files(kind, files, count, accession)
    command = [_path("storescu"), "+sd", "-pdu", str(_MAXIMUM_PDU_BYTES), "-aec", "ORTHANC"]
    _run([*command, "127.0.0.1", str(pacs), str(files)])
    for path in files.iterdir():
        path.unlink()
    files.rmdir()
    return Study(accession, series.StudyInstanceUID, count)


@contextmanager
def _daemon(data: Path, way: _Way, port: int, pacs: int) -> Iterator[Path]:
    """A daemon as a site runs it, except that no rule makes anything of what comes."""
    data.mkdir()
    config = data / "safelight.toml"
    config.write_text(
        f'[dicom]\nae_title = "{way.ae_title}"\nhost = "127.0.0.1"\nport = {port}\n'
        '[[dicom.accept]]\ncalling_ae = "ORTHANC"\naddresses = ["127.0.0.1/32"]\n'
        f'[web]\nlisten = "127.0.0.1:{free_port()}"\n[storage]\ndata = "data"\n'
        f'[[pacs]]\nname = "orthanc"\nae_title = "ORTHANC"\nhost = "127.0.0.1"\nport = {pacs}\n'
        f"streams = {way.streams}\n"
    )
    rules = data / "none.toml"
    rules.write_text('[[rule]]\nname = "nothing"\nenabled = false\n[rule.run]\nqc = {}\n')
    command = [sys.executable, "-m", "safelight", "serve", "--config", str(config)]
    with running([*command, "--rules", str(rules)], data, port):
        yield config


def _movescu(pacs: int, received: Path) -> Retrieve:
    def retrieve(study: Study) -> Turn:
        command = [_path("movescu"), "-S", "-aec", "ORTHANC", "-aem", "STORESCP"]
        command += ["-k", "QueryRetrieveLevel=STUDY", "-k", f"StudyInstanceUID={study.uid}"]
        before = set(received.iterdir())
        began, wall = _run([*command, "127.0.0.1", str(pacs)])
        start = time.perf_counter()
        os.sync()
        durable = wall + time.perf_counter() - start
        here = list(set(received.iterdir()) - before)
        return Turn(wall, _last(here, study) - began, durable)

    return retrieve


def _fsync_alone(folder: Path, received: Path) -> Retrieve:
    """No DICOM: as many files, each with the fsyncs that we owe before we acknowledge it."""
    folder.mkdir()

    def retrieve(study: Study) -> Turn:
        size = next(received.iterdir()).stat().st_size if any(received.iterdir()) else 1 << 17
        content, place = os.urandom(size), folder / study.accession
        place.mkdir()
        start = time.perf_counter()
        for number in range(study.count):
            write_durably(place / f"{number}.dcm", content)
        wall = time.perf_counter() - start
        return Turn(wall, wall, wall)

    return retrieve


def _ours(config: Path, method: Literal["move", "get"]) -> Retrieve:
    data = config.parent / "data"

    def retrieve(study: Study) -> Turn:
        command = [sys.executable, "-m", "safelight", "retrieve", "--config", str(config)]
        began, wall = _run([*command, "--by", method, study.accession])
        here = list((data / "spool" / "instances" / study.uid).rglob("*.dcm"))
        return Turn(wall, _last(here, study) - began, wall, _order_seconds(data, study))

    return retrieve


def _last(files: list[Path], study: Study) -> float:
    """When the last instance of a study had come; all of them must be here."""
    if len(files) != study.count:
        raise PeerFailed(f"{len(files)} of {study.count} instances came")
    return max(path.stat().st_ctime for path in files)


def _order_seconds(data: Path, study: Study) -> float:
    reader = RetrieveReader.at(data / "ledger.sqlite")
    try:
        (one,) = reader.lists(limit=1)
        (item,) = reader.items(one.id)
    finally:
        reader.close()
    if (item.accession_number, item.state) != (study.accession, "whole"):
        raise PeerFailed(f"the retrieve ended as {item.state}: {item.reason}")
    began, ended = item.started_at or "", item.ended_at or ""
    return (datetime.fromisoformat(ended) - datetime.fromisoformat(began)).total_seconds()


def _run(command: list[str]) -> tuple[float, float]:
    """Run a command to its end; return when it began, and what it took."""
    began, start = time.time(), time.perf_counter()
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=_SECONDS,
        env={**os.environ, **_TUNED},
    )
    wall = time.perf_counter() - start
    if done.returncode:
        raise PeerFailed(f"{command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
    return began, wall


def _path(program: str) -> str:
    """A program of the system, not one of the private environment."""
    ours = str(Path(sys.executable).parent)
    folders = [folder for folder in os.get_exec_path() if folder != ours]
    for folder in folders:
        if (path := Path(folder, program)).is_file():
            return str(path)
    raise PeerFailed(f"{program} is not installed (Debian: dcmtk)")
