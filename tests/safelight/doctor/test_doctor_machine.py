"""Ports that others have, folders that cannot be written, a clock that went back.

Whose a port is while a daemon runs: tests/acceptance/test_doctor.py. Not covered: whether the
kernel's clock is synchronised, which a test cannot decide.
"""

import os
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from ledger.writer import LedgerWriter
from listener.journal import AssociationEvent
from listener.watcher import Findings
from safelight.config import load_config
from safelight.doctor_machine import clock, folders, ports
from safelight.doctor_site import Site

LISTEN = """
import socket, sys, time
with socket.create_server(("127.0.0.1", int(sys.argv[1]))):
    print("listening", flush=True)
    time.sleep(300)
"""


@pytest.fixture
def squatter(free_port):
    """Another process that listens on a port; the port, and its process number."""
    port = free_port()
    with subprocess.Popen(
        [sys.executable, "-c", LISTEN, str(port)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == "listening\n"
        yield port, process.pid
        process.kill()


@pytest.fixture
def foreign_site():
    """Function that makes a site whose data are another user's, where that user can reach them.

    Without being root they are ours.
    """
    nobody = 65534
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        place.chmod(0o755)
        data = place / "data"
        data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            os.chown(data, nobody, nobody)
        (place / "safelight.toml").write_text('[storage]\ndata = "data"\n')
        yield Site(load_config(place / "safelight.toml", {}))
        place.chmod(0o755)


def test_a_port_that_another_process_has_is_a_problem_that_names_it(site, squatter, free_port):
    port, pid = squatter
    page = free_port()
    found = list(ports(site(f'[dicom]\nport = {port}\n[web]\nlisten = "127.0.0.1:{page}"\n')))

    assert [one.level for one in found] == ["problem", "ok"]
    assert found[0].what.startswith(f"DICOM: port {port} is in use by process {pid} (python")
    assert found[0].remedy == "end it, or choose another with [dicom] port"
    assert found[1].what == f"page: port {page} is free; no daemon runs"


def test_the_port_of_tls_is_looked_at_too(site, squatter, free_port):
    port, _ = squatter
    tls = f'[dicom.tls]\nport = {port}\ncertificate = "c"\nprivate_key = "k"\n'
    found = list(ports(site(f"[dicom]\nport = {free_port()}\n{tls}[web]\nlisten = '[::1]:0'\n")))
    assert [one.level for one in found] == ["ok", "problem"]
    assert "[dicom.tls] port" in found[1].remedy


def test_an_address_of_another_machine_is_a_problem(site, free_port):
    dicom = f'[dicom]\nhost = "192.0.2.1"\nport = {free_port()}\n[web]\nlisten = "127.0.0.1:0"\n'
    (found,) = ports(site(dicom))
    assert found.level == "problem"
    assert "assign requested address" in found.what


def test_folders_that_are_in_order_or_will_be_made_are_well(site, tmp_path):
    assert [one.level for one in folders(site())] == ["ok"]
    (found,) = folders(site(data="later/data"))
    assert (found.level, found.what) == ("ok", f"{tmp_path}/later/data: made at the first start")
    assert not (tmp_path / "later").exists()


def test_data_that_everybody_may_enter_are_warned_of(site, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data").chmod(0o755)
    (found,) = folders(site())
    assert found.level == "warning"
    assert found.remedy == f"chmod o-rwx {tmp_path}/data"


def test_a_folder_that_the_service_may_not_write_is_a_problem_for_root_too(foreign_site):
    data = foreign_site.config.storage.data
    spool = data / "spool"
    spool.mkdir()
    spool.chmod(0o500 if os.geteuid() else 0o755)  # root's own, among those of another user

    (found,) = folders(foreign_site)

    assert found.level == "problem"
    assert found.what == f"{spool}: {foreign_site.user_name} may not write to it"
    assert f"chown -R {foreign_site.user_name}: {spool}" in found.remedy
    assert os.geteuid() == os.getuid()


def test_a_folder_that_cannot_be_made_is_a_problem_that_says_how(foreign_site):
    data, user = foreign_site.config.storage.data, foreign_site.user_name
    data.rmdir()
    data.parent.chmod(0o555)
    (found,) = folders(foreign_site)
    assert found.level == "problem"
    assert f"{data}: is not there, or {user} may not enter {data.parent}" in found.what
    assert found.remedy == f"install -d -o {user} -m 750 {data}"


def test_a_file_in_the_place_of_a_folder_is_a_problem(site, tmp_path):
    examined = site()
    (tmp_path / "data" / "results").write_text("")
    (found,) = folders(examined)
    assert found.what == f"{tmp_path}/data/results: not a folder"


@pytest.mark.parametrize(("hours", "went_back"), [(-1, False), (1, True)])
def test_a_clock_that_went_back_is_a_problem(site, hours, went_back):
    examined = site()
    began = (datetime.now(UTC) + timedelta(hours=hours)).isoformat(timespec="milliseconds")
    with LedgerWriter(examined.config.storage.ledger) as ledger:
        event = AssociationEvent("accepted", began, "a1", calling_ae="CT1")
        ledger.intake.record(Findings((event,), (), (), 0, {}))
    levels = [one.level for one in clock(examined)]
    assert ("problem" in levels) == went_back
    assert len(levels) == 1 + went_back
