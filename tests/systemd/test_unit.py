"""The unit: systemd understands it, it is hardened, and its times fit those of the daemon.

Not covered: that the daemon works under it, which needs a booted systemd.
"""

import re
import shutil
import subprocess
from collections.abc import Callable
from configparser import RawConfigParser
from pathlib import Path

import pytest

from safelight import daemon
from safelight.config import Config

SYSTEMD = Path(__file__).parents[2] / "systemd"
UNIT = SYSTEMD / "safelight.service"


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


def test_exposure_is_at_most_two(analyze):
    said = analyze("security", "--offline=true", "--no-pager", str(UNIT))
    exposure = re.search(r"Overall exposure level for safelight.service: ([\d.]+)", said)
    assert exposure is not None, said
    assert float(exposure[1]) <= 2.0


def test_systemd_understands_every_line(analyze, tmp_path):
    copy = tmp_path / "safelight.service"
    copy.write_text(UNIT.read_text().replace("/opt/safelight/bin/safelight", "/bin/true"))
    assert analyze("verify", "--man=no", "--recursive-errors=no", str(copy)) == ""


def test_stopping_has_time_for_every_child():
    supervisor = daemon.Supervisor(Config(), lambda: None)
    needed = sum(child.stop_seconds for child in supervisor._children)
    assert float(service()["TimeoutStopSec"]) > needed


def test_watchdog_outlasts_a_child_that_waits_for_its_restart():
    assert float(service()["WatchdogSec"]) > max(daemon._RESTART_SECONDS) + daemon._SILENCE_SECONDS


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
    """The [Service] section; of a key that stands there twice, the last value."""
    parser = RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[method-assign,assignment]
    parser.read(UNIT)
    return dict(parser["Service"])


def statements(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if line and not line.startswith("#")]
