"""``make install`` and what else is not Python: help, peers, scripts.

The installation takes a minute and needs a package index, so it runs only in
``make install-test``. It goes into a DESTDIR; not covered: the user, systemd's daemon-reload.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPTS = [
    ROOT / path for path in ("systemd/install.sh", "systemd/uninstall.sh", ".ci/run", ".ci/peers")
]


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["make", "-C", str(ROOT), *arguments],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_may_run_and_is_bash(script):
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True)


def test_make_alone_lists_the_targets():
    said = make().stdout
    for target in ("demo", "test", "lint", "types", "imports", "unit", "install", "uninstall"):
        assert f"make {target} " in said


def test_missing_peers_are_named_with_the_tests_that_are_skipped(tmp_path):
    for program in ("bash", "awk", "id", "storescu", "strace"):
        if program not in ("bash", "awk", "id"):
            (tmp_path / program).write_text("#!/bin/sh\n")
            (tmp_path / program).chmod(0o755)
        else:
            (tmp_path / program).symlink_to(str(shutil.which(program)))
    done = subprocess.run(
        [tmp_path / "bash", ROOT / ".ci" / "peers"],
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Not installed: chromium; skipped tests: status page in a browser" in done.stdout
    assert "dcmtk" not in done.stdout


@pytest.mark.parametrize("target", ["install", "uninstall"])
def test_what_is_no_installation_is_left_alone(target, tmp_path):
    other = tmp_path / "opt" / "other"
    other.mkdir(parents=True)
    done = make(target, f"DESTDIR={tmp_path}", "PREFIX=/opt/other")
    assert done.returncode != 0
    assert "no installation of Safelight" in done.stderr
    assert other.is_dir()


@pytest.mark.timeout(600)
@pytest.mark.skipif(
    "SAFELIGHT_TEST_INSTALL" not in os.environ, reason="takes minutes: make install-test"
)
def test_installation_works_keeps_the_configuration_and_is_removed(tmp_path):
    destination = f"DESTDIR={tmp_path}"
    configuration = tmp_path / "etc" / "safelight" / "safelight.toml"

    first = make("install", destination)
    assert first.returncode == 0, first.stderr
    python = tmp_path / "opt" / "safelight" / "bin" / "python"
    script = (python.parent / "safelight").read_text().splitlines()
    assert script[0] == "#!/opt/safelight/bin/python"
    check = [python, "-m", "safelight", "config", "check", "--config", configuration]
    assert subprocess.run(check, cwd="/", check=False).returncode == 0

    configuration.write_text("# of the site\n")
    second = make("install", destination)
    assert second.returncode == 0, second.stderr
    assert configuration.read_text() == "# of the site\n"
    shipped = (ROOT / "systemd" / "safelight.toml").read_text()
    assert configuration.with_name("safelight.toml.new").read_text() == shipped

    assert make("uninstall", destination).returncode == 0
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"etc/safelight/safelight.toml", "etc/safelight/safelight.toml.new"}
