"""Daemons that are wronged, and a peer made of bytes that wrongs them.

`node` has patient deadlines, `strict` has short ones and a TLS port. Both last for all tests of
this folder. After each test that used one, `Node.require_intact` looks at what every fault must
leave as it was: an allowed sender is served, whatever was acknowledged is there byte for byte,
nothing unfinished lies about, and the log has neither patient data nor lines that a peer wrote.
"""

import sys
from pathlib import Path

import pytest
import trustme

from listener.part10 import silence_dicom_libraries

# Beside the tests there are plain modules.
sys.path.insert(0, str(Path(__file__).parent))
pytest.register_assert_rewrite("raw_peer", "wronged_node")

from wronged_node import Node, start_daemon  # noqa: E402 - after the path is set

silence_dicom_libraries()

ANYONE_NEAR = '[[dicom.accept]]\ncalling_ae = "*"\naddresses = ["127.0.0.0/24"]\n'
ONE_ROUTER = '[[dicom.accept]]\ncalling_ae = "ROUTER"\naddresses = ["127.0.1.1/32"]\n'
SHORT = """
pdu_seconds = 3
idle_seconds = 5
instance_seconds = 8
maximum_pdu_bytes = 32768
maximum_instance_bytes = 4194304
drain_seconds = 1
"""


@pytest.fixture(scope="package")
def serve(tmp_path_factory, free_port):
    """Factory: ``serve(dicom="", tables="", folder=None)`` starts a daemon.

    `dicom` are keys of ``[dicom]``, `tables` whatever stands outside of it; the same `folder`
    again is a restart. It lasts for this folder's tests unless it is stopped.
    """
    running = []

    def start(dicom="", tables="", folder=None, storage=""):
        folder = folder or tmp_path_factory.mktemp("site")
        port, tls_port, web = (free_port() for _ in range(3))
        config = folder / "safelight.toml"
        config.write_text(
            f'[dicom]\nport = {port}\n{dicom}\n[web]\nlisten = "127.0.0.1:{web}"\n'
            f'[storage]\ndata = "data"\n{storage}\n[series]\nquiet_seconds = 0.5\n'
            + (tables or ANYONE_NEAR).replace("{tls_port}", str(tls_port))
        )
        process = start_daemon(config)
        assert process is not None, (folder / "log").read_text()[-2000:]
        running.append(process)
        return Node(process, folder, port, tls_port, f"127.0.0.1:{web}")

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(60)


@pytest.fixture(scope="package")
def _node(serve):
    return serve("maximum_associations = 30\ndrain_seconds = 1\n", ANYONE_NEAR + ONE_ROUTER)


@pytest.fixture
def node(_node):
    """A daemon with the deadlines of a site: 127.0.0.0/24 may do everything."""
    yield _node
    _node.require_intact()


@pytest.fixture(scope="package")
def authority():
    """Who signed the certificate of `strict`."""
    return trustme.CA()


@pytest.fixture(scope="package")
def _strict(serve, authority, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pki")
    issued = authority.issue_cert("127.0.0.1")
    for pem in issued.cert_chain_pems:
        pem.write_to_path(folder / "cert.pem", append=True)
    issued.private_key_pem.write_to_path(folder / "key.pem")
    tls = (
        f'[dicom.tls]\nport = {{tls_port}}\ncertificate = "{folder}/cert.pem"\n'
        f'private_key = "{folder}/key.pem"\n'
    )
    return serve(SHORT, ANYONE_NEAR + tls)


@pytest.fixture
def strict(_strict):
    """A daemon with short deadlines and low limits (see `SHORT`), and TLS."""
    yield _strict
    _strict.require_intact()
