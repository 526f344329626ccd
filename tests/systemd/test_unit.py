"""The unit: systemd understands it, it is hardened, and its times fit those of the daemon.

That the daemon works under it is shown on a booted systemd, by test_booted.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from configparser import RawConfigParser
from pathlib import Path

import pytest

from listener.settings import TlsSettings
from safelight import daemon
from safelight.children import RESTART_SECONDS, SILENCE_SECONDS
from safelight.config import Config, load_config
from safelight.doors import PLAIN, SECURE

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "safelight.service"
SOCKETS = (SYSTEMD / "safelight.socket", SYSTEMD / "safelight-tls.socket")


@pytest.fixture
def analyze() -> Callable[..., str]:
    """Function that runs systemd-analyze, fails where that fails, and returns what it said."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed (Debian: systemd)")

    def run(*arguments: str) -> str:
        command = ["systemd-analyze", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return run


def test_exposure_is_at_most_one_and_a_half(analyze):
    said = analyze("security", "--offline=true", "--no-pager", str(UNIT))
    exposure = re.search(r"Overall exposure level for safelight.service: ([\d.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) <= 1.5


def test_systemd_understands_every_line(analyze, tmp_path):
    copies = [tmp_path / unit.name for unit in (UNIT, *SOCKETS)]
    for unit, copy in zip((UNIT, *SOCKETS), copies, strict=True):
        copy.write_text(unit.read_text().replace("/opt/safelight/bin/safelight", "/bin/true"))
    assert analyze("verify", "--man=no", "--recursive-errors=no", *map(str, copies)) == ""


def test_stopping_has_time_for_every_child():
    supervisor = daemon.Supervisor(Config(), lambda: None)
    needed = sum(child.stop_seconds for child in supervisor._children)
    assert float(service()["TimeoutStopSec"]) > needed


def test_watchdog_outlasts_a_child_that_waits_for_its_restart():
    assert float(service()["WatchdogSec"]) > max(RESTART_SECONDS) + SILENCE_SECONDS


def test_sockets_listen_where_the_configuration_does_under_the_names_the_daemon_knows():
    dicom = load_config(SYSTEMD / "safelight.toml", {}).dicom
    tls = TlsSettings(Path("certificate"), Path("key"))
    plain, secure = (section(unit, "Socket") for unit in SOCKETS)
    assert plain["ListenStream"] == f"{dicom.host}:{dicom.port}"
    assert plain["FileDescriptorName"] == PLAIN
    assert secure["ListenStream"] == f"{dicom.host}:{tls.port}"
    assert secure["FileDescriptorName"] == SECURE
    assert secure["Service"] == UNIT.name


def test_a_reload_runs_the_command_that_waits_for_its_outcome():
    assert service()["ExecReload"] == (
        "/opt/safelight/bin/safelight rules reload --config /etc/safelight/safelight.toml"
    )


def test_command_and_configuration_are_where_the_installation_puts_them():
    assert service()["ExecStart"] == (
        "/opt/safelight/bin/safelight serve --config /etc/safelight/safelight.toml"
    )


def test_user_of_the_unit_is_made_and_owns_the_data():
    user = service()["User"]
    (line,) = statements(SYSTEMD / "sysusers.d" / "safelight.conf")
    assert line.split()[:2] == ["u", user]
    folders = statements(SYSTEMD / "tmpfiles.d" / "safelight.conf")
    assert f"d /var/lib/safelight 0750 {user} {user} -" in folders


def service() -> dict[str, str]:
    return section(UNIT, "Service")


def section(unit: Path, name: str) -> dict[str, str]:
    """A section of a unit; of a key that stands there twice, the last value."""
    parser = RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read(unit)
    return dict(parser[name])


def statements(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]


def test_the_template_for_several_on_one_machine_keeps_them_apart(analyze, tmp_path):
    document = (SYSTEMD.parent / "docs" / "several-nodes.md").read_text()
    (told,) = re.findall(r"sudo (sed .*?) \\\n +/usr/local/lib/systemd", document, re.DOTALL)
    done = subprocess.run(
        ["bash", "-c", f'{told} "$0"', str(UNIT)], capture_output=True, text=True, check=True
    )
    template = done.stdout
    before, after = UNIT.read_text().splitlines(), template.splitlines()
    changed = sorted(set(after) - set(before))
    file = "/etc/safelight/safelight-%i.toml"
    assert changed == [
        f"ExecReload=/opt/safelight/bin/safelight rules reload --config {file}",
        f"ExecStart=/opt/safelight/bin/safelight serve --config {file}",
        "StateDirectory=safelight-%i",
        "WorkingDirectory=/var/lib/safelight-%i",
    ]
    assert set(before) - set(after) - {"Also=safelight.socket"} == {
        line.replace("-%i", "") for line in changed
    }
    copy = tmp_path / "safelight@b.service"
    copy.write_text(template.replace("/opt/safelight/bin/safelight", "/bin/true"))
    assert analyze("verify", "--man=no", "--recursive-errors=no", str(copy)) == ""
