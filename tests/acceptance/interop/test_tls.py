"""The port that speaks TLS (PS3.15 B.12, BCP 195) with DCMTK, pynetdicom and OpenSSL as peers.

Revocation is not covered: no list of revoked certificates can be configured.
"""

import socket
import ssl
import subprocess
import sys

import pytest
import trustme
from pydicom.uid import CTImageStorage
from pynetdicom import AE
from pynetdicom.sop_class import Verification

from safelight.cli import main

pytestmark = pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")

ACCEPT = """
[[dicom.accept]]
calling_ae = "SECURE"
addresses = ["127.0.0.0/8"]
tls = true
[[dicom.accept]]
calling_ae = "EITHER"
addresses = ["127.0.0.0/8"]
"""
CALLING_AE_NOT_RECOGNISED = (1, 1, 3)  # PS3.8 Table 9-21
TLS = '[dicom.tls]\nport = {tls_port}\ncertificate = "%s"\nprivate_key = "%s"\n'


class Identity:
    """A certificate and its key in files, signed by an authority."""

    def __init__(self, authority, folder, key_type=trustme.KeyType.RSA):
        issued = authority.issue_cert("127.0.0.1", key_type=key_type)
        folder.mkdir()
        self.certificate, self.key = folder / "cert.pem", folder / "key.pem"
        for pem in issued.cert_chain_pems:
            pem.write_to_path(self.certificate, append=True)
        issued.private_key_pem.write_to_path(self.key)


@pytest.fixture(scope="module")
def pki(tmp_path_factory):
    """The site's authority, and a stranger's: files of certificates and keys."""

    class Files:
        folder = tmp_path_factory.mktemp("pki")
        ours, theirs = trustme.CA(), trustme.CA()
        authority, stranger = folder / "ca.pem", folder / "stranger.pem"
        rsa = Identity(ours, folder / "rsa")
        ecdsa = Identity(ours, folder / "ecdsa", trustme.KeyType.ECDSA)
        client = Identity(ours, folder / "client")
        impostor = Identity(theirs, folder / "impostor")

    Files.ours.cert_pem.write_to_path(Files.authority)
    Files.theirs.cert_pem.write_to_path(Files.stranger)
    return Files


@pytest.fixture(scope="module")
def open_site(serve, pki):
    """A site with an RSA certificate that asks for none of the sender."""
    return serve(ACCEPT + TLS % (pki.rsa.certificate, pki.rsa.key), keys="pdu_seconds = 4")


@pytest.fixture(scope="module")
def mutual_site(serve, pki):
    """A site with an ECDSA certificate that requires a certificate of its authority."""
    table = TLS % (pki.ecdsa.certificate, pki.ecdsa.key)
    return serve(f'{ACCEPT}{table}authorities = "{pki.authority}"\n')


@pytest.fixture
def storescu_tls(program, sample, uid_of):
    """Function that sends an instance with DCMTK over TLS; returns whether the site has it."""

    def send(site, *options):
        path = sample("explicit little endian")
        command = [program("storescu"), "-aet", "SECURE", "-aec", "SAFELIGHT", *map(str, options)]
        command += ["127.0.0.1", str(site.tls_port), str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
        kept = list(site.spool.rglob(f"{uid_of(path)}.dcm"))
        assert (done.returncode == 0) == bool(kept), done.stderr
        return bool(kept)

    return send


def test_dcmtk_sends_without_a_certificate_of_its_own(open_site, pki, storescu_tls):
    assert storescu_tls(open_site, "--anonymous-tls", "+cf", pki.authority)


def test_dcmtk_sends_with_a_certificate_that_is_not_asked_for(open_site, pki, storescu_tls):
    assert storescu_tls(open_site, *shown(pki.client), "+cf", pki.authority)


def test_dcmtk_sends_with_the_certificate_that_is_required(mutual_site, pki, storescu_tls):
    assert storescu_tls(mutual_site, *shown(pki.client), "+cf", pki.authority)


def test_a_required_certificate_that_is_missing_costs_only_who_lacks_it(
    mutual_site, pki, storescu_tls
):
    assert not storescu_tls(mutual_site, "--anonymous-tls", "+cf", pki.authority)
    assert storescu_tls(mutual_site, *shown(pki.client), "+cf", pki.authority)
    journal = "".join(path.read_text() for path in mutual_site.spool.glob("journal/*.jsonl"))
    assert '"reason": "the TLS handshake failed: peer did not return a certificate"' in journal


def test_a_certificate_of_another_authority_is_refused(mutual_site, pki, storescu_tls):
    assert not storescu_tls(mutual_site, *shown(pki.impostor), "+cf", pki.authority)


def test_a_sender_that_trusts_another_authority_does_not_send(open_site, pki, storescu_tls):
    assert not storescu_tls(open_site, "--anonymous-tls", "+cf", pki.stranger)


def test_pynetdicom_echoes_over_tls(open_site, pki):
    assert echoed(open_site, client_context(pki))


def test_pynetdicom_echoes_with_the_required_certificate(mutual_site, pki):
    assert echoed(mutual_site, client_context(pki, shows=pki.client))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_an_older_version_of_tls_is_refused(open_site, pki, version):
    context = client_context(pki, ciphers="ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    with pytest.raises(ssl.SSLError) as refusal:
        handshake(open_site, context)
    assert refusal.value.reason == "TLSV1_ALERT_PROTOCOL_VERSION"  # the site's own alert


def test_tls_1_3_is_preferred(open_site, pki):
    assert handshake(open_site, client_context(pki))[0] == "TLSv1.3"


# RFC 9325 4.2, which PS3.15 B.12 requires: what TLS 1.2 must offer
@pytest.mark.parametrize("cipher", ["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"])
def test_a_recommended_ciphersuite_is_offered(open_site, pki, cipher):
    context = client_context(pki, ciphers=cipher, maximum=ssl.TLSVersion.TLSv1_2)
    assert handshake(open_site, context) == ("TLSv1.2", cipher)


@pytest.mark.parametrize(
    "cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384"]
)
def test_a_recommended_ciphersuite_is_offered_with_an_ecdsa_key(mutual_site, pki, cipher):
    context = client_context(pki, pki.client, cipher, ssl.TLSVersion.TLSv1_2)
    assert handshake(mutual_site, context) == ("TLSv1.2", cipher)


# RFC 9325 4.1: no encryption, no authentication, no forward secrecy
@pytest.mark.parametrize(
    "cipher", ["NULL-SHA256", "AECDH-AES128-SHA", "AES128-GCM-SHA256", "AES256-SHA"]
)
def test_a_weak_ciphersuite_is_refused(open_site, pki, cipher):
    context = client_context(pki, ciphers=f"{cipher}:@SECLEVEL=0", maximum=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError) as refusal:
        handshake(open_site, context)
    assert refusal.value.reason == "SSLV3_ALERT_HANDSHAKE_FAILURE"  # the site's own alert


def test_silent_clients_disturb_nobody_and_are_closed(open_site, pki):
    silent = [socket.create_connection(("127.0.0.1", open_site.tls_port)) for _ in range(5)]
    try:
        assert echoed(open_site, client_context(pki))
        for peer in silent:
            peer.settimeout(60)
            assert peer.recv(1) == b""
    finally:
        for peer in silent:
            peer.close()


def test_plain_dicom_on_the_tls_port_disturbs_nobody(open_site, pki):
    assert not associated(open_site.tls_port, "EITHER").is_established
    assert echoed(open_site, client_context(pki))


def test_a_rule_that_asks_for_tls_rejects_the_same_ae_on_the_plain_port(open_site, rejections):
    association = associated(open_site.port, "SECURE", handlers=rejections.handlers)
    assert not association.is_established
    assert rejections == [CALLING_AE_NOT_RECOGNISED]


@pytest.mark.parametrize("secure", [False, True])
def test_a_rule_that_does_not_ask_for_tls_opens_both_ports(open_site, pki, secure):
    port = open_site.tls_port if secure else open_site.port
    association = associated(port, "EITHER", client_context(pki) if secure else None)
    assert association.is_established
    association.release()


@pytest.mark.parametrize("key", ["certificate", "private_key", "authorities"])
@pytest.mark.parametrize("damage", ["missing", "not PEM"])
def test_a_file_that_cannot_be_used_is_named_with_its_key(
    tmp_path, pki, capsys, monkeypatch, key, damage
):
    files = {"certificate": pki.rsa.certificate, "private_key": pki.rsa.key}
    files[key] = tmp_path / "damaged.pem"
    if damage == "not PEM":
        files[key].write_text("-----BEGIN NOTHING-----\n")
    monkeypatch.setattr(sys, "argv", command_with(tmp_path, files, "config", "check"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    told = capsys.readouterr().err
    assert f"[dicom.tls] {key}: {files[key]}" in told
    assert len(told.splitlines()) == 1


def test_without_a_usable_certificate_nothing_is_served(tmp_path, pki):
    files = {"certificate": tmp_path / "missing.pem", "private_key": pki.rsa.key}
    result = run_with(tmp_path, files, "serve")
    assert result.returncode == 2
    assert result.stdout == ""


def test_a_key_of_another_certificate_is_said_to_be_one(tmp_path, pki):
    files = {"certificate": pki.rsa.certificate, "private_key": pki.client.key}
    result = run_with(tmp_path, files, "config", "check")
    assert result.returncode == 2
    assert f"[dicom.tls] private_key: {pki.client.key}" in result.stderr


def shown(identity):
    """DCMTK's options for a certificate of its own."""
    return ["+tls", identity.key, identity.certificate, "--null-passwd"]


def client_context(pki, shows=None, ciphers=None, maximum=None):
    context = ssl.create_default_context(cafile=str(pki.authority))
    if shows:
        context.load_cert_chain(shows.certificate, shows.key)
    if ciphers:
        context.set_ciphers(ciphers)
    if maximum:
        context.maximum_version = maximum
    return context


def handshake(site, context):
    """Shake hands as a TLS client; return the version and the cipher that were agreed."""
    with (
        socket.create_connection(("127.0.0.1", site.tls_port), timeout=60) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
    ):
        return secure.version(), secure.cipher()[0]


def associated(port, calling_ae, context=None, handlers=()):
    ae = AE(calling_ae)
    ae.connection_timeout = ae.acse_timeout = 10
    ae.add_requested_context(Verification)
    ae.add_requested_context(CTImageStorage)
    tls = (context, "127.0.0.1") if context else None
    return ae.associate(
        "127.0.0.1", port, ae_title="SAFELIGHT", tls_args=tls, evt_handlers=list(handlers)
    )


def echoed(site, context):
    """Whether a C-ECHO over TLS is answered with success."""
    association = associated(site.tls_port, "SECURE", context)
    assert association.is_established
    status = association.send_c_echo().Status
    association.release()
    return status == 0x0000


def run_with(folder, files, *command):
    """Run a command of Safelight in a process of its own."""
    line = [sys.executable, "-m", *command_with(folder, files, *command)]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)


def command_with(folder, files, *command):
    """A command of Safelight with these files of ``[dicom.tls]``."""
    config = folder / "safelight.toml"
    config.write_text("[dicom.tls]\n" + "".join(f'{k} = "{v}"\n' for k, v in files.items()))
    return ["safelight", *command, "--config", str(config)]
