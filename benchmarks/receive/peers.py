"""The receivers that are compared, each a program of its own on loopback."""

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.programs import found, free_port, running, wait_for_port

_HTTP_SECONDS = 10


@dataclass(frozen=True)
class Peer:
    """A running receiver.

    Attributes
    ----------
    name, port, called_ae
        How it is called here, and by senders.
    speaks_dicom
        False for the raw receiver.
    process
        The program; what it starts counts with it.
    stored
        Says how many instances it keeps.
    empty
        Gives their disk space back where that can be done behind its back; else does nothing.
    """

    name: str
    port: int
    called_ae: str
    process: "subprocess.Popen[bytes]"
    stored: Callable[[], int]
    empty: Callable[[], None]
    speaks_dicom: bool = True

    def processes(self) -> list[psutil.Process]:
        """The program and everything it started."""
        program = psutil.Process(self.process.pid)
        return [program, *program.children(recursive=True)]

    def cpu_seconds(self) -> float:
        """User and system time so far, also of children that have ended."""
        total = 0.0
        for process in self.processes():
            with suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total


@dataclass(frozen=True)
class Setting:
    """How receivers are started for a case.

    Attributes
    ----------
    folder
        Where they store; all on one filesystem.
    maximum_pdu_bytes
        The longest PDU to allow, where a program has to be told.
    associations
        How many will be open at the same time.
    sent_again
        Whether each round sends the instances of the one before.
    """

    folder: Path
    maximum_pdu_bytes: int
    associations: int
    sent_again: bool = False


Start = Callable[[Setting], Iterator[Peer]]


def storescp(
    setting: Setting, *, name: str = "storescp", bits: str = "+B", tuned: bool = True
) -> Iterator[Peer]:
    """DCMTK's storescp; `tuned`, it sends its response without waiting (TCP_NODELAY).

    `bits`: ``+B`` writes the data exactly as read, ``-B`` is its default, which parses it.
    """
    folder = _new_folder(setting, name)
    port = free_port()
    fork = ["--fork"] if setting.associations > 1 else []
    command = ["storescp", bits, *fork, "-pdu", str(setting.maximum_pdu_bytes)]
    command += ["-aet", "STORESCP", "-od", str(folder), str(port)]
    with running(command, folder, port, {"TCP_NODELAY": "1" if tuned else "0"}) as process:
        yield _keeping_files(name, port, "STORESCP", process, folder, sent_again=setting.sent_again)


def pynetdicom(setting: Setting) -> Iterator[Peer]:
    """The storescp application of pynetdicom."""
    folder = _new_folder(setting, "pynetdicom")
    port = free_port()
    command = [sys.executable, "-m", "pynetdicom", "storescp", "-q", "-ba", "127.0.0.1"]
    command += ["--max-pdu", str(setting.maximum_pdu_bytes), "-od", str(folder), str(port)]
    with running(command, folder, port) as process:
        yield _keeping_files(
            "pynetdicom", port, "STORESCP", process, folder, sent_again=setting.sent_again
        )


def orthanc(setting: Setting) -> Iterator[Peer]:
    """Orthanc as it comes: each file is synced (SyncStorageArea) before the response.

    It speaks DICOM through DCMTK's library, so the same variable tunes its socket.
    """
    folder = _new_folder(setting, "orthanc")
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
        "MaximumPduLength": setting.maximum_pdu_bytes,
        "SyncStorageArea": True,
        "Plugins": [],
    }
    (folder / "orthanc.json").write_text(json.dumps(settings))
    command = ["Orthanc", str(folder / "orthanc.json")]
    with running(command, folder, port, {"TCP_NODELAY": "1"}) as process:
        wait_for_port(http_port, process, folder / "log")
        yield Peer(
            "orthanc", port, "ORTHANC", process, lambda: _in_orthanc(http_port), _leave_alone
        )


def raw(setting: Setting) -> Iterator[Peer]:
    """`raw`: no DICOM, only TCP and files."""
    folder = _new_folder(setting, "raw")
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.receive.raw", str(port), str(folder)]
    with running(command, folder, port) as process:
        yield _keeping_files(
            "raw", port, "", process, folder, sent_again=setting.sent_again, speaks_dicom=False
        )


def node(
    setting: Setting, *, processes: int = 1, durable: bool = False, name: str = "safelight"
) -> Iterator[Peer]:
    """Safelight's receiver alone; without fsync unless `durable`."""
    folder = _new_folder(setting, name)
    port = free_port()
    command = [sys.executable, "-m", "benchmarks.receive.node", "--port", str(port)]
    command += ["--root", str(folder), "--processes", str(processes)]
    command += ["--durable"] if durable else []
    (folder / "instances").mkdir()
    with running(command, folder, port) as process:
        yield _keeping_files(
            name, port, "SAFELIGHT", process, folder / "instances", sent_again=setting.sent_again
        )


def daemon(setting: Setting, *, processes: int | None = None) -> Iterator[Peer]:
    """All of Safelight, as a site runs it, except that no series closes within the benchmark."""
    folder = _new_folder(setting, "daemon")
    port = free_port()
    config = folder / "safelight.toml"
    shared = "" if processes is None else f"processes = {processes}\n"
    config.write_text(
        f'[dicom]\nhost = "127.0.0.1"\nport = {port}\n{shared}'
        '[[dicom.accept]]\ncalling_ae = "*"\naddresses = ["127.0.0.1/32"]\n'
        f'[web]\nlisten = "127.0.0.1:{free_port()}"\n[storage]\ndata = "data"\n'
        "[series]\nquiet_seconds = 86400\nopen_association_seconds = 86400\n"
    )
    command = [sys.executable, "-m", "safelight", "serve", "--config", str(config)]
    instances = folder / "data" / "spool" / "instances"
    with running(command, folder, port) as process:
        yield Peer(
            "safelight serve", port, "SAFELIGHT", process, lambda: _files(instances), _leave_alone
        )


def missing_programs() -> list[str]:
    """The programs of peers that are not installed."""
    return [name for name in ("storescp", "storescu", "Orthanc") if found(name) is None]


def _keeping_files(
    name: str,
    port: int,
    called_ae: str,
    process: "subprocess.Popen[bytes]",
    folder: Path,
    *,
    sent_again: bool,
    speaks_dicom: bool = True,
) -> Peer:
    return Peer(
        name,
        port,
        called_ae,
        process,
        lambda: _files(folder),
        lambda: (_remove_files if sent_again else _empty_files)(folder),
        speaks_dicom,
    )


def _new_folder(setting: Setting, name: str) -> Path:
    folder = setting.folder / name
    folder.mkdir()
    return folder


def _files(folder: Path) -> int:
    return sum(len(files) for _, _, files in os.walk(folder))


def _empty_files(folder: Path) -> None:
    """Give the disk space back and leave the names.

    ext4 does not use an inode again for minutes after its file was removed, and searches ever
    longer for one that it may use: removing would slow down whoever comes next.
    """
    for place, _, files in os.walk(folder):
        for file in files:
            path = Path(place) / file
            if path.stat().st_size:
                os.truncate(path, 0)


def _remove_files(folder: Path) -> None:
    """Remove the files and leave the folders: a receiver may remember that it made them."""
    for place, _, files in os.walk(folder):
        for file in files:
            (Path(place) / file).unlink()


def _leave_alone() -> None:
    """Leave the instances there: an index or a ledger knows them."""


def _in_orthanc(http_port: int) -> int:
    url = f"http://127.0.0.1:{http_port}/statistics"
    with urllib.request.urlopen(url, timeout=_HTTP_SECONDS) as answer:
        return int(json.load(answer)["CountInstances"])
