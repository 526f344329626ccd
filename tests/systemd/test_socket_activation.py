"""Sockets passed to the daemon; that a restart under systemd refuses nobody shows test_booted."""

import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom.data import get_testdata_file

CT = Path(get_testdata_file("CT_small.dcm"))


def test_what_comes_between_two_daemons_waits_and_is_taken_by_the_next(service, door, storescu):
    first = service(door)
    first.wait_for("READY")
    assert first.end() == 0
    with ThreadPoolExecutor() as pool:
        sending = pool.submit(storescu, CT, port=first.port, called="SAFELIGHT")
        second = service(door)
        second.wait_for("READY")
        sending.result(timeout=60)
    assert len(list((second.folder / "data" / "spool" / "instances").rglob("*.dcm"))) == 1


def test_waiting_for_connections_costs_no_processor_time(service, door):
    node = service(door)
    node.wait_for("READY")
    receiver = Path("/proc", str(node.children()["receiver-0"]), "stat")
    before = ticks(receiver)
    node.wait_for("WATCHDOG")
    node.wait_for("WATCHDOG")
    node.wait_for("WATCHDOG")
    assert ticks(receiver) - before < 50  # of about 300; a door that does not block takes them all


def ticks(stat: Path) -> int:
    """Processor time of a process, in hundredths of a second."""
    fields = stat.read_text().rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def test_systemds_own_activator_starts_it_with_the_first_association(
    service, storescu, program, tmp_path, wait_until
):
    node = service()  # for its configuration
    node.wait_for("READY")
    assert node.end() == 0
    activate = [program("systemd-socket-activate"), "--listen", f"0.0.0.0:{node.port}"]
    activate += ["--fdname", "dicom", sys.executable, "-m", "safelight", "serve"]
    with (tmp_path / "activated").open("w") as log:
        process = subprocess.Popen(
            [*activate, "--config", "safelight.toml"], cwd=tmp_path, stdout=log, stderr=log
        )
    try:
        wait_until(lambda: "Listening on" in (tmp_path / "activated").read_text(), "the activator")
        storescu(CT, port=node.port, called="SAFELIGHT")
    finally:
        process.terminate()
        assert process.wait(60) == 0


def test_another_address_than_the_configured_one_is_refused(service):
    with socket.create_server(("127.0.0.1", 0)) as elsewhere:
        node = service(elsewhere)
        assert node.process.wait(60) == 2
    assert "systemd listens on 127.0.0.1 port " in node.log()
    assert f"the configuration says 0.0.0.0 port {node.port}: make ListenStream= " in node.log()


@pytest.mark.parametrize("name", ["dicom-tls", "other"])
def test_a_socket_that_nothing_is_configured_for_is_refused(service, door, name):
    with socket.create_server(("127.0.0.1", 0)) as more:
        door.close()
        node = service(more, name)
        assert node.process.wait(60) == 2
    assert f"systemd passed a socket named {name}; expected FileDescriptorName=dicom" in node.log()


def test_what_does_not_listen_is_refused(service):
    with socket.socket() as mute:
        node = service(mute)
        assert node.process.wait(60) == 2
    assert "systemd passed dicom, which is no TCP socket that listens" in node.log()


def test_sockets_for_another_process_are_left_alone(service, door):
    door_of_others = socket.create_server(("127.0.0.1", 0))
    door.close()
    with door_of_others:
        node = service(door_of_others, FOR="1")
        node.wait_for("READY")
        assert node.end() == 0
