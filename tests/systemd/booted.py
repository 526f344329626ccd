"""A Debian of its own, booted by systemd-nspawn, where Safelight is installed as a site does it.

The root is made once by debootstrap and copied for each run; what pip needs is made outside and
given to it as a folder of wheels. It has a network of its own, so that its ports are nobody
else's; programs of this machine, such as DCMTK's, enter that network with nsenter.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pydicom
from pydicom.data import get_testdata_file
from pydicom.uid import generate_uid

CHECKOUT = Path(__file__).parents[2]
SUITE = "bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,python3,python3-venv,make"
SENDER = '{ calling_ae = "SENDER", addresses = ["127.0.0.0/8"] },'
UNITS = ("safelight.socket", "safelight.service")


@dataclass
class Machine:
    """A booted root; `leader` is its process 1 as this machine numbers it."""

    root: Path
    leader: int
    wait_until: Callable[..., None]
    data: Path = field(init=False)

    def __post_init__(self) -> None:
        self.data = self.root / "var" / "lib" / "safelight"

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command in it as root."""
        environment = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin"]
        environment += ["LC_ALL=C.UTF-8", "PIP_NO_INDEX=1", "PIP_FIND_LINKS=/wheels"]
        done = subprocess.run(
            ["nsenter", "-t", str(self.leader), "-a", *environment, *command],
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0 or not check, done.stdout[-4000:] + done.stderr[-4000:]
        return done

    def write(self, path: str, text: str) -> None:
        """Write a file of it."""
        target = self.root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def systemctl(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run systemctl in it."""
        done = self.run("systemctl", *arguments, check=False)
        assert done.returncode == 0 or not check, done.stderr + self.journal()[-4000:]
        return done

    def show(self, name: str) -> str:
        """One property of the service."""
        return self.systemctl("show", "--value", "-p", name, "safelight").stdout.strip()

    def journal(self) -> str:
        """What the service logged, and what systemd said of it."""
        return self.run("journalctl", "-u", "safelight", "-o", "cat", "--no-pager").stdout

    def wait_for_ready(self, seconds: float = 120) -> None:
        """Wait until the service is ready, and each child of it."""
        self.wait_until(
            lambda: (
                self.show("ActiveState") == "active"
                and self.show("StatusText").count("associations open") == 2
                and "jobs done" in self.show("StatusText")
            ),
            "the service to be ready",
            seconds,
        )

    def processes(self) -> dict[str, psutil.Process]:
        """The processes of the service by their names."""
        found: dict[str, psutil.Process] = {}
        for process in psutil.Process(self.leader).children():
            if "/opt/safelight/bin/safelight serve" in _line(process):
                found["supervisor"] = process
                found |= {child.name(): child for child in process.children()}
        if "coordinator" in found:
            for helper in found["coordinator"].children():
                kinds = [
                    kind for kind in ("forkserver", "resource_tracker") if kind in _line(helper)
                ]
                found |= dict.fromkeys(kinds, helper)
                if "forkserver" in kinds:
                    found |= dict(zip(("worker",), helper.children(), strict=False))
        return found

    def spooled(self) -> set[str]:
        """The SOP Instance UIDs of the files in the spool."""
        return {path.stem for path in (self.data / "spool" / "instances").rglob("*.dcm")}

    def shut_down(self) -> None:
        """Have it power off, as its console would."""
        os.kill(self.leader, signal.SIGRTMIN + 4)


def has_ended(process: psutil.Process) -> bool:
    """Whether a process runs no more; its parent may not have noticed yet."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


@dataclass
class Senders:
    """What storescu sent into the machine, and what it was told to be kept."""

    machine: Machine
    program: str
    folder: Path
    acknowledged: set[str] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    associations: int = 0

    def series(self, slices: int, description: str = "Thorax") -> Path:
        """A folder with a CT series, each file named by its SOP Instance UID."""
        instance = pydicom.dcmread(get_testdata_file("CT_small.dcm"))
        instance.StudyInstanceUID, instance.SeriesInstanceUID = generate_uid(), generate_uid()
        instance.SeriesDescription = description
        folder = self.folder / str(instance.SeriesInstanceUID)
        folder.mkdir(parents=True)
        for number in range(slices):
            uid = generate_uid()
            instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = uid
            instance.InstanceNumber = number + 1
            instance.ImagePositionPatient = [-158.1, -179.0, -75.7 + 5 * number]
            instance.save_as(folder / f"{uid}.dcm")
        return folder

    def one_of_pydicom(self, name: str) -> Path:
        """A folder with an instance that pydicom ships, as a series of its own."""
        instance = pydicom.dcmread(get_testdata_file(name))
        instance.StudyInstanceUID, instance.SeriesInstanceUID = generate_uid(), generate_uid()
        instance.SOPInstanceUID = instance.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        instance.SeriesDescription = "Compressed"
        folder = self.folder / str(instance.SeriesInstanceUID)
        folder.mkdir(parents=True)
        instance.save_as(folder / f"{instance.SOPInstanceUID}.dcm")
        return folder

    def send(self, folder: Path, port: int = 11112, options: Sequence[str] = ()) -> bool:
        """Send a folder on one association; return whether all of it was acknowledged."""
        command = ["nsenter", "-t", str(self.machine.leader), "-n", self.program, "-v", "+sd"]
        command += options
        done = subprocess.run(
            [*command, "-aet", "SENDER", "-aec", "SAFELIGHT", "127.0.0.1", str(port), str(folder)],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
            timeout=300,
        )
        self.associations += 1
        self.acknowledged |= acknowledged_in(done.stdout)
        if done.returncode != 0:
            self.failures.append(done.stdout)
        return done.returncode == 0

    def wait_for_more(self, count: int) -> None:
        """Wait until `count` instances more than now were acknowledged."""
        wanted = len(self.acknowledged) + count
        self.machine.wait_until(
            lambda: len(self.acknowledged) >= wanted, f"{count} more instances", 120
        )

    @contextmanager
    def feeding(self, threads: int = 3, slices: int = 5) -> Iterator[None]:
        """Send series after series, on several associations at once, while the block runs."""
        ended = threading.Event()

        def feed() -> None:
            while not ended.is_set():
                self.send(self.series(slices, "FEED"))

        running = [threading.Thread(target=feed) for _ in range(threads)]
        for thread in running:
            thread.start()
        try:
            yield
        finally:
            ended.set()
            for thread in running:
                thread.join()


def acknowledged_in(log: str) -> set[str]:
    """The UIDs of what storescu says was answered with success, from the names of the files."""
    told, uid = set(), ""
    for line in log.splitlines():
        if sending := re.search(r"Sending file: .*?([\d.]+)\.dcm$", line):
            uid = sending[1]
        elif "Received Store Response (Success)" in line:
            told.add(uid)
    return told


@contextmanager
def booted(folder: Path, wait_until: Callable[..., None]) -> Iterator[Machine]:
    """Copy the root, boot it, and shut it down at the end."""
    root = folder / "safelight-test"
    subprocess.run(["cp", "-a", "--reflink=auto", base_root(), root], check=True)
    copy_checkout(root / "root" / "safelight")
    command = ["systemd-nspawn", "--quiet", "--directory", str(root), "--private-network"]
    command += [
        "--keep-unit",
        "--register=no",
        "--console=read-only",
        f"--bind-ro={wheels()}:/wheels",
        "--boot",
    ]
    with (folder / "console").open("wb") as console:
        nspawn = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=subprocess.STDOUT
        )
    try:
        wait_until(lambda: _leader(nspawn) is not None, "systemd to be started", 120)
        machine = Machine(root, _leader(nspawn) or 0, wait_until)
        wait_until(lambda: _is_up(machine), "the root to be booted", 120)
        yield machine
        machine.shut_down()
        nspawn.wait(120)
    finally:
        if nspawn.poll() is None:
            for process in psutil.Process(nspawn.pid).children(recursive=True):
                process.kill()
            nspawn.kill()
            nspawn.wait(60)


def _leader(nspawn: subprocess.Popen[bytes]) -> int | None:
    """The systemd that nspawn has started; before that, its child is nspawn itself."""
    children = psutil.Process(nspawn.pid).children()
    return next((child.pid for child in children if child.name() == "systemd"), None)


def _is_up(machine: Machine) -> bool:
    said = machine.systemctl("is-system-running", check=False).stdout.strip()
    return said in ("running", "degraded")


def copy_checkout(target: Path) -> None:
    """Copy what `make install` reads."""
    target.mkdir(parents=True)
    for name in ("Makefile", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(CHECKOUT / name, target)
    for name in ("listener", "rules", "processor", "ledger", "query", "web_status", "safelight"):
        shutil.copytree(
            CHECKOUT / name, target / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    shutil.copytree(CHECKOUT / "systemd", target / "systemd")


def cache() -> Path:
    """Where what takes long to make is kept from run to run."""
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "safelight-tests"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def base_root() -> Path:
    """A minimal Debian, made once."""
    packages = hashlib.sha256(PACKAGES.encode()).hexdigest()[:8]
    return _made_once(
        cache() / f"{SUITE}-{packages}",
        lambda new: ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(new)],
    )


def wheels() -> Path:
    """What Safelight needs, as wheels; made anew when the requirements change."""
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    needed = (*project["build-system"]["requires"], *project["project"]["dependencies"])
    digest = hashlib.sha256("\n".join(needed).encode()).hexdigest()[:8]
    return _made_once(
        cache() / f"wheels-{digest}",
        lambda new: [sys.executable, "-m", "pip", "wheel", "--wheel-dir", str(new), *needed],
    )


def _made_once(target: Path, command: Callable[[Path], Sequence[str]]) -> Path:
    new = target.with_name(f"{target.name}.new")
    if not target.exists():
        shutil.rmtree(new, ignore_errors=True)
        done = subprocess.run(
            command(new), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert done.returncode == 0, done.stdout[-4000:]
        new.rename(target)
    return target
