"""Fixtures every package's tests may use: real scans, free ports, filesystems, real DICOM peers.

Peers are programs of their own on loopback, with ports that nobody else has and everything
they write under ``tmp_path``. Where a program is not installed, its tests are skipped with a
reason. Nothing here knows Safelight: what a package's tests need of it is in their own conftest.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import hypothesis
import psutil
import pydicom
import pytest
import trustme
from playwright.sync_api import Browser, Page, expect, sync_playwright
from playwright.sync_api import Error as BrowserError

READY_SECONDS = 60
ARTIFACTS = Path(__file__).parent / "artifacts"
PORTS = 1000  # for each worker
CHROMIUM_FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]

expect.set_options(timeout=60_000)  # milliseconds, of a busy machine

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")


@pytest.fixture(scope="session")
def test_data() -> Path:
    """Folder of real scans: SAFELIGHT_TEST_DATA, or ../shared/dicom beside the checkout."""
    default = Path(__file__).parents[2] / "shared" / "dicom"
    folder = Path(os.environ.get("SAFELIGHT_TEST_DATA") or default)
    if not folder.is_dir():
        pytest.skip(f"no real scans: {folder} does not exist (set SAFELIGHT_TEST_DATA)")
    return folder


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A running headless Chromium."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("chromium is not installed (Debian: chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def keep_picture() -> Callable[..., None]:
    """Function that keeps a screenshot of a page for people, in tests/artifacts.

    It asserts nothing, so a browser that is too busy to paint fails no test.
    """
    return _keep_picture


@pytest.fixture(scope="session")
def free_port() -> Callable[[], int]:
    """Function that returns a free TCP port, and never the same one twice.

    Daemons and peers that are told their port get it here. One from the kernel (port 0) could be
    some connection's own a moment later.
    """
    return _free_port


@pytest.fixture(scope="session")
def mounted() -> Callable[[Path, str], AbstractContextManager[None]]:
    """Context in which a filesystem in memory lies over a folder: ``mounted(folder, "size=1M")``.

    Only root may mount one; others' tests are skipped.
    """
    return _mounted


@pytest.fixture
def program() -> Callable[[str], str]:
    """Function that returns the path of an installed program, or skips the test."""
    return _program


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    """Function that polls a condition until it holds, or fails the test at a deadline."""
    return _wait_until


@dataclass(frozen=True)
class Orthanc:
    """A running Orthanc; ``stop()`` ends it early, a second call does nothing."""

    ae_title: str
    host: str
    dicom_port: int
    http_port: int
    stop: Callable[[], None]


@pytest.fixture
def orthanc(tmp_path: Path) -> Iterator[Callable[..., Orthanc]]:
    """Factory of Orthanc PACSs that take C-ECHO, C-STORE, C-FIND, C-MOVE and C-GET from anyone.

    ``orthanc(modalities={"AE": ("127.0.0.1", port)}, ae_title="ORTHANC", **configuration)``:
    `modalities` are the move destinations it knows, `configuration` any other Orthanc setting.
    """
    executable = _program("Orthanc")
    with ExitStack() as running:

        def start(
            modalities: Mapping[str, tuple[str, int]] | None = None,
            ae_title: str = "ORTHANC",
            **configuration: object,
        ) -> Orthanc:
            dicom_port, http_port = _free_port(), _free_port()
            folder = tmp_path / f"orthanc-{dicom_port}"
            folder.mkdir()
            settings = {
                "Name": ae_title,
                "StorageDirectory": str(folder / "storage"),
                "IndexDirectory": str(folder / "index"),
                "DicomAet": ae_title,
                "DicomPort": dicom_port,
                "HttpPort": http_port,
                "RemoteAccessAllowed": False,
                "AuthenticationEnabled": False,
                "DicomAlwaysAllowEcho": True,
                "DicomAlwaysAllowStore": True,
                "DicomAlwaysAllowFind": True,
                "DicomAlwaysAllowGet": True,
                "DicomAlwaysAllowMove": True,
                "DicomCheckCalledAet": True,
                "UnknownSopClassAccepted": True,
                "ConcurrentJobs": 1,
                "Plugins": [],
                "DicomModalities": {
                    name: [name, host, port] for name, (host, port) in (modalities or {}).items()
                },
                **configuration,
            }
            (folder / "orthanc.json").write_text(json.dumps(settings))
            stop = _run(running, [executable, str(folder / "orthanc.json")], folder, dicom_port)
            _wait_for_port(http_port, folder / "log")
            return Orthanc(ae_title, "127.0.0.1", dicom_port, http_port, stop)

        yield start


@dataclass(frozen=True)
class Storescp:
    """A running DCMTK storescp; `folder` holds what it received, one file an instance."""

    ae_title: str
    host: str
    port: int
    folder: Path
    stop: Callable[[], None]

    def received(self) -> list[str]:
        """SOP Instance UIDs in the folder, sorted."""
        return sorted(
            str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID)
            for path in self.folder.iterdir()
        )


@pytest.fixture
def dcmtk_storescp(tmp_path: Path) -> Iterator[Callable[..., Storescp]]:
    """Factory of DCMTK storage SCPs: ``dcmtk_storescp(ae_title="STORESCP", port=None)``.

    They take every transfer syntax and store the bytes as received.
    """
    executable = _program("storescp")
    with ExitStack() as running:

        def start(ae_title: str = "STORESCP", port: int | None = None) -> Storescp:
            port = port or _free_port()
            folder = tmp_path / f"storescp-{port}"
            (folder / "received").mkdir(parents=True)
            command = [executable, "-B", "+xa", "+uf", "-aet", ae_title]
            command += ["-od", str(folder / "received"), str(port)]
            stop = _run(running, command, folder, port)
            return Storescp(ae_title, "127.0.0.1", port, folder / "received", stop)

        yield start


@dataclass
class DaskCluster:
    """A Dask scheduler and its workers, as a site runs them; every one is a process of its own.

    `options` are those of both commands, such as the files of TLS; `settings` are environment
    variables of the scheduler.
    """

    folder: Path
    port: int
    options: tuple[str, ...] = ()
    scheme: str = "tcp"
    settings: Mapping[str, str] = field(default_factory=dict)
    _processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """What workers and clients connect to."""
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def start_scheduler(self) -> None:
        """Start it, on the same port each time, and wait until it listens."""
        arguments = ["--host", self.address, "--no-dashboard"]
        self._start("scheduler", arguments, environment=self.settings)
        _wait_for_port(self.port, self.folder / "scheduler.log", self._processes["scheduler"])

    def start_worker(
        self,
        name: str,
        *options: str,
        command: Sequence[str] = (sys.executable,),
        nanny: bool = False,
        **env: str,
    ) -> None:
        """Start a worker with one thread; it ends with its scheduler."""
        arguments = [self.address, "--name", name, "--nthreads", "1"]
        arguments += [] if nanny else ["--no-nanny"]
        arguments += ["--no-dashboard", "--host", "127.0.0.1", "--death-timeout", "60"]
        arguments += ["--local-directory", str(self.folder / "local"), *options]
        self._start(name, arguments, command, env)

    def _start(
        self,
        name: str,
        arguments: list[str],
        command: Sequence[str] = (sys.executable,),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        what = "scheduler" if name == "scheduler" else "worker"
        with (self.folder / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [*command, "-m", "dask", what, *arguments, *self.options],
                cwd=self.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )

    def at_work(self) -> dict[str, list[psutil.Process]]:
        """The processes in which workers run jobs, by the name of the worker."""
        found = {}
        for name, process in self._processes.items():
            with suppress(psutil.NoSuchProcess):
                if jobs := list(_forked(psutil.Process(process.pid))):
                    found[name] = jobs
        return found

    def signal(self, name: str, number: int) -> None:
        """Send a signal to a process."""
        self._processes[name].send_signal(number)

    def kill(self, name: str) -> None:
        """End a process as a power cut would end it; nothing where it has ended."""
        process = self._processes.pop(name, None)
        if process is not None:
            process.kill()
            process.wait()

    def wait_for_end(self, name: str) -> None:
        """Wait until a process has ended by itself."""
        self._processes.pop(name).wait(READY_SECONDS)

    def has_ended(self, name: str) -> bool:
        """Whether a process has ended."""
        return name not in self._processes or self._processes[name].poll() is not None

    def stop(self) -> None:
        """End all of it."""
        for name in tuple(self._processes):
            self.kill(name)


def _forked(process: psutil.Process) -> Iterator[psutil.Process]:
    for child in process.children():
        if any("forkserver" in argument for argument in child.cmdline()):
            yield from child.children()


@pytest.fixture(scope="module")
def dask_clusters(
    tmp_path_factory: pytest.TempPathFactory, free_port: Callable[[], int]
) -> Iterator[Callable[..., DaskCluster]]:
    """Factory of Dask clusters, whose scheduler is started: ``dask_clusters(*options)``."""
    with ExitStack() as running:

        def start(*options: str, scheme: str = "tcp", **settings: str) -> DaskCluster:
            folder = tmp_path_factory.mktemp("dask")
            cluster = DaskCluster(folder, free_port(), options, scheme, settings)
            running.callback(cluster.stop)
            cluster.start_scheduler()
            return cluster

        yield start


@pytest.fixture
def storescu() -> Callable[..., None]:
    """Function that sends files or folders with DCMTK storescu; fails unless all is accepted.

    ``storescu(path, ..., port=11112, called="PACS", calling="SENDER", options=("-xs",))``;
    `options` are DCMTK's, such as the transfer syntax to propose.
    """
    executable = _program("storescu")

    def send(
        *paths: Path,
        port: int,
        called: str,
        calling: str = "SENDER",
        host: str = "127.0.0.1",
        options: Sequence[str] = (),
    ) -> None:
        titles = ["-aet", calling, "-aec", called]
        command = [executable, "-v", "+sd", "+r", *options, *titles, host, str(port)]
        done = subprocess.run(
            [*command, *map(str, paths)],
            env={**os.environ, "TCP_NODELAY": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        assert done.returncode == 0, done.stdout[-2000:]

    return send


class Authority:
    """A certificate authority, with the files that a server and a client need of it."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._folder = folder
        self.pem = folder / "ca.pem"
        folder.mkdir()
        self._ca.cert_pem.write_to_path(self.pem)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key for a name, as two files."""
        issued = self._ca.issue_cert(name)
        certificate, key = self._folder / f"{name}.pem", self._folder / f"{name}.key"
        certificate.write_bytes(b"".join(one.bytes() for one in issued.cert_chain_pems))
        issued.private_key_pem.write_to_path(key)
        return certificate, key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """An authority that both sides trust."""
    return Authority(tmp_path / "authority")


@pytest.fixture
def other_authority(tmp_path: Path) -> Authority:
    """One that nobody here trusts."""
    return Authority(tmp_path / "others")


_RSYSLOG = """
global(workDirectory="{folder}" maxMessageSize="64k" defaultNetstreamDriver="gtls"
  defaultNetstreamDriverCAFile="{ca}" defaultNetstreamDriverCertFile="{certificate}"
  defaultNetstreamDriverKeyFile="{key}")
module(load="imtcp" streamDriver.name="gtls" streamDriver.mode="1"
  streamDriver.authMode="x509/certvalid")
template(name="parsed" type="string" string="%pri% %app-name% %msgid% %structured-data% %msg%\\n")
input(type="imtcp" address="127.0.0.1" port="{port}" ruleset="audit")
ruleset(name="audit") {{ action(type="omfile" file="{taken}" template="parsed") }}
"""


@dataclass(frozen=True)
class Rsyslog:
    """An rsyslog that takes syslog over TLS from who has a certificate; `start` starts it."""

    port: int
    start: Callable[[], Callable[[], None]]
    taken: Path

    def lines(self) -> list[str]:
        """What it has written: priority, names and message of each line."""
        return self.taken.read_text(encoding="utf-8").splitlines() if self.taken.exists() else []


@pytest.fixture
def rsyslog(
    program: Callable[[str], str],
    authority: Authority,
    run_peer: Callable[..., Callable[[], None]],
    tmp_path: Path,
) -> Rsyslog:
    """An rsyslog that is not running yet."""
    # A copy: AppArmor, on Ubuntu, lets the one in its place read no file of ours.
    command, port = shutil.copy(program("rsyslogd"), tmp_path / "rsyslogd"), _free_port()
    certificate, key = authority.issue("127.0.0.1")
    file, taken = tmp_path / "rsyslog.conf", tmp_path / "taken"
    file.write_text(
        _RSYSLOG.format(
            folder=tmp_path,
            ca=authority.pem,
            certificate=certificate,
            key=key,
            port=port,
            taken=taken,
        )
    )
    arguments = [str(command), "-n", "-f", str(file), "-i", str(tmp_path / "rsyslog.pid")]
    return Rsyslog(port, lambda: run_peer(arguments, port), taken)


@pytest.fixture
def run_peer(tmp_path: Path) -> Iterator[Callable[..., Callable[[], None]]]:
    """Function that starts any peer: ``stop = run_peer(command, port)``; stopped after the test."""
    with ExitStack() as running:
        yield lambda command, port: _run(running, command, tmp_path, port)


def _run(running: ExitStack, command: list[str], folder: Path, port: int) -> Callable[[], None]:
    """Start a program, wait until it listens, and have `running` end it."""
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            # DCMTK: without it each response waits 40 ms for a delayed acknowledgement.
            env={**os.environ, "TCP_NODELAY": "1"},
            start_new_session=True,
        )

    def stop() -> None:
        # Killed with its children: it keeps nothing we want, and Orthanc takes 2 s to end in order.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    running.callback(stop)
    _wait_for_port(port, folder / "log", process)
    return stop


def _wait_for_port(port: int, log: Path, process: subprocess.Popen[bytes] | None = None) -> None:
    def listens() -> bool:
        if process is not None and process.poll() is not None:
            pytest.fail(f"peer ended with {process.returncode}: {log.read_text()[-2000:]}")
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    _wait_until(listens, f"a peer on port {port}")


def _wait_until(condition: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"waited {seconds} s in vain for {what}")
        time.sleep(0.02)


@contextmanager
def _mounted(folder: Path, options: str) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no filesystem can be mounted: {done.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def _program(name: str) -> str:
    # Not from the virtual environment: pynetdicom installs a storescu of its own there.
    ours = str(Path(sys.prefix, "bin"))
    folders = [folder for folder in os.get_exec_path() if folder != ours]
    path = shutil.which(name, path=":".join([*folders, "/usr/sbin", "/usr/local/sbin"]))
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: dcmtk, orthanc, rsyslog-gnutls)")
    return path


def _ports() -> Iterator[int]:
    """Ports below those that the kernel gives to outgoing connections, which come in between.

    Each worker of pytest-xdist has ports of its own, in turn from one that differs by the run.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 16
    first = random.randrange(PORTS)
    for turn in count():
        yield 15000 + PORTS * worker + (first + turn) % PORTS


_PORTS = _ports()


def _keep_picture(page: Page, name: str, *, full_page: bool = True) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    with suppress(BrowserError):
        page.screenshot(path=ARTIFACTS / f"{name}.png", full_page=full_page, timeout=10_000)


def _free_port() -> int:
    for port in _PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("", port))
            return port
    raise AssertionError
