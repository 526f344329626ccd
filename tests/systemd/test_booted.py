"""The service on a systemd that was booted for it: `make systemd-test`, as root, 15 minutes.

The scenarios run one after another on one machine, as a site's would, and after each of them
everything that DCMTK was told to be kept must be in the spool, and `safelight verify --deep` must
find no loss. Not covered: RHEL and its like, SELinux, and a power cut.
"""

import os
import re
import shutil
import signal
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from booted import SENDER, UNITS, Machine, Senders, booted, has_ended

from ledger.reader import LedgerReader
from ledger.rows import SeriesRow

pytestmark = [
    pytest.mark.skipif(
        "SAFELIGHT_TEST_SYSTEMD" not in os.environ,
        reason="boots a Debian, as root: make systemd-test",
    ),
    pytest.mark.timeout(900),
]

CONFIG = "/etc/safelight/safelight.toml"
RULES = "/etc/safelight/rules.toml"
BOTH_ENGINES = """
[[rule]]
name = "Of a feed"
match = { SeriesDescription = "FEED" }
then = { drop = "only to be received" }
[[rule]]
name = "Ours"
run = { convert = {}, qc = {}, preview = {}, metadata = {} }
[[rule]]
name = "dcm2niix"
run = { convert = { engine = "dcm2niix" } }
"""
DROP = '[[rule]]\nname = "Stop"\nthen = { drop = "the study is over" }\n'
PORT_104 = "/etc/systemd/system/safelight.socket.d/port.conf"
PROBE = "/etc/systemd/system/probe.service"
ENDED = {"done", "dropped", "attention"}
# What root does in a service that nothing confines, and cannot do where the directive alone is
# set. Those that are missing are about what systemd-nspawn forbids by itself (clock, devices,
# control groups, kernel log and modules), a 32-bit program, or the end of the service (IPC).
FORBIDDEN = {
    "CapabilityBoundingSet": "os.chroot('/')",
    "NoNewPrivileges": "assert 'NoNewPrivs:\\t0' in open('/proc/self/status').read()",
    "PrivateUsers": "assert '4294967295' in open('/proc/self/uid_map').read()",
    "ProtectSystem": "open('/etc/probe', 'w')",
    "ProtectHome": "os.stat('/root/safelight')",
    "PrivateTmp": "os.stat('/tmp/marker')",
    "PrivateDevices": "os.stat('/dev/console')",
    "ProtectHostname": "socket.sethostname(socket.gethostname())",
    "ProtectKernelTunables": "open('/proc/sys/net/ipv4/ip_forward', 'w')",
    "RestrictAddressFamilies": "socket.socket(socket.AF_NETLINK, socket.SOCK_RAW)",
    "RestrictNamespaces": "assert libc.unshare(0x04000000) == 0",
    "RestrictRealtime": "os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))",
    "RestrictSUIDSGID": "open('/run/probe', 'w'); os.chmod('/run/probe', 0o4755)",
    "LockPersonality": "assert libc.personality(8) >= 0",
    "MemoryDenyWriteExecute": "mmap.mmap(-1, 4096, prot=7)",
    "SystemCallFilter": "os.chroot('/')",
    "UMask": "os.umask(0o22) == 0o22 or sys.exit('umask')",
    "LimitCORE": "assert resource.getrlimit(resource.RLIMIT_CORE)[1] != 0",
}
IMPORTS = "import ctypes, mmap, os, resource, socket, sys; libc = ctypes.CDLL(None)"
QUICK_WATCHDOG = "/etc/systemd/system/safelight.service.d/watchdog.conf"


@pytest.fixture(scope="module")
def machine(wait_until):
    """A booted Debian with the service installed, configured and running."""
    folder = tempfile.TemporaryDirectory(prefix="safelight-", dir="/var/tmp")
    with folder, booted(Path(folder.name), wait_until) as running:
        running.run("make", "-C", "/root/safelight", "install")
        config = running.root / CONFIG.lstrip("/")
        text = config.read_text().replace("accept = [\n", f"accept = [\n  {SENDER}\n", 1)
        text = text.replace('#file = "rules.toml"', 'file = "rules.toml"')
        config.write_text(text.replace("#quiet_seconds = 10", "quiet_seconds = 2"))
        running.write(RULES, BOTH_ENGINES)
        running.systemctl("enable", "--now", *UNITS)
        running.wait_for_ready()
        yield running


@pytest.fixture(scope="module")
def senders(machine, tmp_path_factory):
    """DCMTK's storescu in the network of the machine, and all it was told to be kept."""
    program = shutil.which("storescu", path="/usr/bin:/usr/local/bin")
    return Senders(machine, program, tmp_path_factory.mktemp("sent"))


@pytest.fixture(autouse=True)
def nothing_is_lost(machine, senders):
    """After each scenario, what was acknowledged is in the spool and accounted for."""
    yield
    assert senders.acknowledged - machine.spooled() == set()
    if (machine.root / "opt" / "safelight").exists():
        told = machine.run("safelight", "verify", "--deep", check=False)
        assert told.returncode == 0, told.stdout + told.stderr


def wait_for_series(machine: Machine, folder: Path, seconds: float = 180) -> SeriesRow:
    """The series that was sent from a folder, once nothing is to be done for it any more."""
    ended: list[SeriesRow] = []

    def has_ended() -> bool:
        reader = LedgerReader(machine.data / "ledger.sqlite")
        ended[:] = (
            row
            for row in reader.series(limit=10_000)
            if row.SeriesInstanceUID == folder.name and row.state in ENDED
        )
        reader.close()
        return bool(ended)

    machine.wait_until(has_ended, "the series to end", seconds)
    return ended[0]


@pytest.fixture
def quick_watchdog(machine):
    """systemd waits for 15 s only."""
    machine.write(QUICK_WATCHDOG, "[Service]\nWatchdogSec=15\n")
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", "safelight")
    machine.wait_for_ready()
    yield
    (machine.root / QUICK_WATCHDOG.lstrip("/")).unlink()
    machine.systemctl("daemon-reload")
    machine.systemctl("restart", "safelight")
    machine.wait_for_ready()


def test_is_enabled_ready_and_says_what_it_does(machine):
    for unit in UNITS:
        assert machine.systemctl("is-enabled", unit).stdout.strip() == "enabled"
    assert re.fullmatch(
        r"coordinator: 0 instances, 0 series closed, 0 jobs done;"
        r" receiver-0: 0 associations open; receiver-1: 0 associations open",
        machine.show("StatusText"),
    )
    assert machine.run("stat", "-c", "%U %a", "/var/lib/safelight").stdout == "safelight 750\n"
    assert machine.run("stat", "-c", "%U:%G %a", CONFIG).stdout == "root:safelight 640\n"
    assert set(machine.processes()) >= {"supervisor", "coordinator", "receiver-0", "receiver-1"}


def test_hardened_it_receives_runs_workers_and_dcm2niix_and_shows_the_page(machine, senders):
    folder = senders.series(12)
    assert senders.send(folder)
    assert len(senders.acknowledged) == 12
    assert wait_for_series(machine, folder).state == "done"
    names = [path.name for path in (machine.data / "results").rglob("*")]
    assert sum(name.endswith(".nii.gz") for name in names) == 2
    assert any(name.endswith((".png", ".jpg", ".webp")) for name in names)
    manifests = (machine.data / "results").rglob("manifest.json")
    assert any("dcm2niix" in path.read_text() for path in manifests)
    fetch = "import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/').read().decode())"
    assert "<html" in machine.run("python3", "-c", fetch).stdout
    assert "Operation not permitted" not in machine.journal()
    assert "Traceback" not in machine.journal()


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("MR_small_RLE.dcm", "-xr"),
        ("MR_small_jpeg_ls_lossless.dcm", "-xt"),
        ("MR_small_jp2klossless.dcm", "-xv"),
        ("JPEG-LL.dcm", "-xs"),
    ],
)
def test_hardened_it_decodes_what_is_compressed(machine, senders, name, option):
    folder = senders.one_of_pydicom(name)
    assert senders.send(folder, options=(option,))
    assert wait_for_series(machine, folder).state == "done"
    (manifest,) = (
        path
        for path in (machine.data / "results").rglob("manifest.json")
        if folder.name in path.read_text() and '"Ours"' in path.read_text()
    )
    assert list(manifest.parent.rglob("*.nii.gz"))


def hardening() -> dict[str, list[str]]:
    """The lines of the unit that confine it, by directive."""
    lines: dict[str, list[str]] = {}
    for line in (
        Path(__file__).parents[2].joinpath("systemd/safelight.service").read_text().split("\n")
    ):
        name = line.partition("=")[0]
        if re.match(
            r"(Capability|NoNew|Private|Protect|Device|Remove|Restrict|Lock|Memory"
            r"Deny|SystemCall|UMask|LimitCORE)",
            name,
        ):
            lines.setdefault(name, []).append(line)
    return lines


@pytest.mark.parametrize("name", hardening())
def test_each_hardening_directive_is_taken_by_systemd(machine, name):
    machine.write(PROBE, "[Service]\nExecStart=/bin/true\n")
    machine.systemctl("daemon-reload")
    plain = machine.systemctl("show", "--value", "-p", name, "probe").stdout
    assert machine.show(name) != plain.strip()


@pytest.mark.parametrize("name", FORBIDDEN)
def test_each_hardening_directive_forbids_what_it_says(machine, name):
    machine.run("touch", "/tmp/marker")
    command = f'/usr/bin/python3 -c "{IMPORTS}; {FORBIDDEN[name]}"'
    outcomes = []
    for lines in ([], hardening()[name]):
        text = "\n".join(["[Service]", "Type=oneshot", f"ExecStart={command}", *lines])
        machine.write(PROBE, f"{text}\n")
        machine.systemctl("daemon-reload")
        outcomes.append(machine.systemctl("start", "probe", check=False).returncode)
    assert outcomes[0] == 0, machine.run("journalctl", "-u", "probe", "-o", "cat").stdout[-2000:]
    assert outcomes[1] != 0


def test_no_process_of_the_service_is_less_confined_than_the_unit_says(machine):
    assert len(machine.processes()) >= 4
    for name, process in machine.processes().items():
        status = Path(f"/proc/{process.pid}/status").read_text()
        for line in ("NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"):
            assert line in status, name
        for space in ("mnt", "user"):
            own, of_machine = (
                Path(f"/proc/{pid}/ns/{space}").readlink() for pid in (process.pid, machine.leader)
            )
            assert own != of_machine, name


@pytest.mark.parametrize(
    "name",
    ["receiver-0", "receiver-1", "coordinator", "forkserver", "resource_tracker", "supervisor"],
)
def test_kill_9_of_a_process_during_a_feed_is_recovered_from(machine, senders, name):
    restarts = int(machine.show("NRestarts"))
    assert senders.send(senders.series(30))  # the helpers of workers are there while there is work
    with senders.feeding():
        machine.wait_until(lambda: name in machine.processes(), f"a {name}", 60)
        victim = machine.processes()[name]
        victim.kill()
        machine.wait_until(lambda: has_ended(victim), "its end")
        senders.wait_for_more(50)
    machine.wait_for_ready()
    assert int(machine.show("NRestarts")) - restarts == (name == "supervisor")
    folder = senders.series(3)
    assert senders.send(folder)
    assert wait_for_series(machine, folder).state == "done"


def test_kill_9_of_a_worker_costs_one_try_of_its_job(machine, senders):
    folder = senders.series(60)
    assert senders.send(folder)
    machine.wait_until(lambda: "worker" in machine.processes(), "a worker", 60)
    machine.processes()["worker"].kill()
    assert wait_for_series(machine, folder).state == "done"


@pytest.mark.parametrize("name", ["coordinator", "receiver-0", "supervisor"])
def test_a_process_that_hangs_is_noticed_and_the_watchdog_restarts_the_service(
    machine, senders, quick_watchdog, name
):
    restarts = int(machine.show("NRestarts"))
    hung = machine.processes()[name]
    hung.suspend()
    if name != "supervisor":
        machine.wait_until(
            lambda: f"{name}: NO ANSWER for 3" in machine.show("StatusText"), "the silence", 60
        )
        assert f"{name} has not answered for 30 s" in machine.journal()
    if name == "coordinator":
        assert senders.send(senders.series(4))  # reception goes on
    machine.wait_until(lambda: int(machine.show("NRestarts")) == restarts + 1, "a restart", 90)
    assert "Watchdog timeout" in machine.journal()
    assert has_ended(hung)
    machine.wait_for_ready()
    assert senders.send(senders.series(4))


def test_restarts_during_a_feed_refuse_no_association(machine, senders):
    failed, associations = len(senders.failures), senders.associations
    with senders.feeding(threads=4):
        for _ in range(3):
            machine.systemctl("restart", "safelight")
            senders.wait_for_more(100)
    assert senders.failures[failed:] == []
    assert senders.associations - associations > 60


def test_without_the_socket_a_restart_refuses_associations(machine, senders):
    failed = len(senders.failures)
    machine.systemctl("stop", *UNITS)
    machine.systemctl("start", "safelight.service")
    machine.wait_for_ready()
    with senders.feeding():
        machine.systemctl("restart", "safelight.service")
        senders.wait_for_more(20)
    assert any("Connection refused" in log for log in senders.failures[failed:])
    machine.systemctl("stop", "safelight.service")
    machine.systemctl("start", *UNITS)
    machine.wait_for_ready()


def test_a_reload_is_over_when_the_new_rules_are_in_force(machine, senders):
    machine.write(RULES, DROP)
    machine.systemctl("reload", "safelight")
    folder = senders.series(3)
    assert senders.send(folder)
    assert wait_for_series(machine, folder).state == "dropped"


def test_a_reload_that_is_refused_fails_with_the_reason_and_harms_nothing(machine, senders):
    machine.write(RULES, DROP.replace("then", "them"))
    assert machine.systemctl("reload", "safelight", check=False).returncode != 0
    assert "them: unknown key" in machine.journal()
    assert machine.show("ActiveState") == "active"
    folder = senders.series(3)
    assert senders.send(folder)
    assert wait_for_series(machine, folder).state == "dropped"
    machine.write(RULES, BOTH_ENGINES)
    machine.systemctl("reload", "safelight")


def test_sighup_is_told_to_systemd_as_a_reload(machine):
    supervisor = machine.processes()["supervisor"]
    coordinator = machine.processes()["coordinator"]
    coordinator.suspend()
    supervisor.send_signal(signal.SIGHUP)
    machine.wait_until(lambda: machine.show("ActiveState") == "reloading", "the reload to begin")
    coordinator.resume()
    machine.wait_until(lambda: machine.show("ActiveState") == "active", "the reload to end")


def test_a_port_below_1024_needs_no_privilege_where_systemd_opens_it(machine, senders):
    config = machine.root / CONFIG.lstrip("/")
    before = config.read_text()
    config.write_text(before.replace("#port = 11112", "port = 104"))
    machine.write(PORT_104, "[Socket]\nListenStream=\nListenStream=0.0.0.0:104\n")
    listen_anew(machine)
    assert senders.send(senders.series(2), port=104)
    config.write_text(before)
    (machine.root / PORT_104.lstrip("/")).unlink()
    listen_anew(machine)


def listen_anew(machine: Machine) -> None:
    machine.systemctl("daemon-reload")
    machine.systemctl("stop", *UNITS)
    machine.systemctl("start", *UNITS)
    machine.wait_for_ready()


def test_a_stop_lets_associations_end_in_order_and_in_time(machine, senders):
    folder = senders.series(300)
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(senders.send, folder)
        machine.wait_until(
            lambda: ": 1 associations open" in machine.show("StatusText"), "the association"
        )
        assert not sending.done()
        began = time.monotonic()
        machine.systemctl("stop", *UNITS)
        assert time.monotonic() - began < 75
        assert sending.result()
    assert machine.show("Result") == "success"
    assert machine.show("ActiveState") == "inactive"
    assert machine.processes() == {}
    assert "did not stop in time" not in machine.journal()
    assert {path.stem for path in folder.iterdir()} <= machine.spooled()
    machine.systemctl("start", *UNITS)
    machine.wait_for_ready()


def test_an_upgrade_keeps_the_configuration_and_all_data(machine, senders):
    config = (machine.root / CONFIG.lstrip("/")).read_text()
    version = machine.root / "root" / "safelight" / "safelight" / "version.py"
    version.write_text(re.sub(r'"[\d.]+.*"', '"9.9.9"', version.read_text()))
    failed = len(senders.failures)
    with senders.feeding():
        machine.run("make", "-C", "/root/safelight", "install")
        machine.run("safelight", "config", "check")
        machine.systemctl("restart", "safelight")
        machine.wait_for_ready()
    assert senders.failures[failed:] == []
    assert "9.9.9" in machine.run("safelight", "--version").stdout
    assert (machine.root / CONFIG.lstrip("/")).read_text() == config
    folder = senders.series(3)
    assert senders.send(folder)
    assert wait_for_series(machine, folder).state == "done"


def test_uninstalling_stops_it_and_leaves_configuration_and_data(machine, senders):
    config = (machine.root / CONFIG.lstrip("/")).read_text()
    machine.run("make", "-C", "/root/safelight", "uninstall")
    assert machine.processes() == {}
    assert not senders.send(senders.series(1))
    assert machine.systemctl("cat", "safelight.service", check=False).returncode != 0
    assert (machine.root / CONFIG.lstrip("/")).read_text() == config
