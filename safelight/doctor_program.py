"""What ``safelight doctor`` looks at of the program: packages, codecs, and the files it reads."""

import sqlite3
import ssl
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import packages_distributions
from pathlib import Path

import dcm2niix
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from ledger.errors import LedgerError, LedgerLocked, NewerSchema, NoLedger, OlderSchema
from ledger.reader import LedgerReader
from listener.errors import TlsUnusable
from processor.words import count
from rules.errors import RulesError
from safelight.backup_state import ages_of, backup_problem
from safelight.commands import read_site
from safelight.config import Config
from safelight.doctor_findings import Finding, failed, ok, problem, warning
from safelight.doctor_site import Site
from safelight.errors import SafelightError
from web_status.certificates import WARNED_DAYS, end_of_certificate
from web_status.errors import WebError

_OURS = "safelight"
_PACKAGES = ("listener", "rules", "processor", "ledger", "query", "web_status", "safelight")
_SYNTAXES: tuple[UID, ...] = (
    *(JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLossless, JPEGLosslessSV1, RLELossless),
    *(JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2K),
)
_DCM2NIIX_SECONDS = 20
_REINSTALL = "install Safelight again: make install"
_EXPIRED = "put a new one in its place and restart the service"


def configuration(site: Site) -> Iterator[Finding]:
    """Whether rules, templates, users and certificates of the configuration are good."""
    try:
        with site.as_user():
            rules = read_site(site.config)
    except (SafelightError, RulesError, WebError) as error:
        yield failed(error, "correct it, then: safelight config check")
        return
    yield ok(f"{site.file or 'embedded defaults'}; {count(len(rules), 'rule')}")


def packages(site: Site) -> Iterator[Finding]:
    """Whether another distribution has a package of one of our names, as PyPI's `rules` has."""
    del site
    owners, home = packages_distributions(), Path(__file__).parents[1]
    for name in _PACKAGES:
        for other in sorted({*owners.get(name, ())} - {_OURS}):
            yield problem(
                f"{name}: the distribution {other} has a package of this name, and one of the two"
                " may have overwritten the other",
                f"{sys.executable} -m pip uninstall {other}; then {_REINSTALL}",
            )
        loaded = Path(sys.modules[name].__file__ or "").parents[1]
        if loaded != home:
            yield problem(f"{name}: taken from {loaded}, and not from {home}", "look at PYTHONPATH")
    if not owners.get(_OURS):
        yield warning("Safelight is run from its source, without an installation", _REINSTALL)
    else:
        yield ok(f"{len(_PACKAGES)} packages of ours in {home}")


def codecs(site: Site) -> Iterator[Finding]:
    """Whether every compressed transfer syntax can be decoded, and dcm2niix runs."""
    del site
    lost = [syntax.name for syntax in _SYNTAXES if not get_decoder(syntax).is_available]
    if lost:
        yield problem(f"no decoder for {'; '.join(lost)}", _REINSTALL)
    else:
        yield ok(f"{len(_SYNTAXES)} compressed transfer syntaxes can be decoded")
    yield _dcm2niix()


def _dcm2niix() -> Finding:
    try:
        ran = subprocess.run(
            [dcm2niix.bin, "-v"], capture_output=True, timeout=_DCM2NIIX_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return problem(f"dcm2niix does not run ({type(error).__name__})", _REINSTALL)
    last = ran.stdout.decode(errors="replace").strip().splitlines()[-1:]
    if ran.returncode < 0 or not last:
        return problem(f"dcm2niix ended with {ran.returncode} and said nothing", _REINSTALL)
    return ok(f"dcm2niix {last[0]}")


def ledger(site: Site) -> Iterator[Finding]:
    """Whether the ledger can be read."""
    path = site.config.storage.ledger
    try:
        with site.as_user():
            LedgerReader(path).close()
    except NoLedger:
        yield ok("none yet: the daemon makes it when it starts")
    except LedgerLocked as error:
        yield failed(error, "end that program; nothing is recorded until then")
    except OlderSchema as error:
        yield warning(str(error), "start the daemon")
    except NewerSchema as error:
        yield failed(error, "install that version again")
    except LedgerError as error:
        yield failed(error, "safelight ledger rebuild")
    except (sqlite3.Error, OSError):
        user = site.user_name
        yield problem(f"{path}: {user} cannot open it", f"chown {user}: {path}*")
    else:
        yield ok(f"{path} can be read")
    with site.as_user():
        yield _backups(site.config)


def _backups(config: Config) -> Finding:
    """Whether the backups are made that the configuration asks for."""
    folder, hours = config.ledger.backup_folder, config.ledger.backup_hours
    if folder is None:
        return ok("no backups are asked for: [ledger] backup_folder has the daemon make them")
    if told := backup_problem(config):
        return problem(f"the last backup was not made: {told}", f"is {folder} there, with room?")
    try:
        age = min(ages_of(folder), default=None)
    except OSError as error:
        return problem(f"{folder}: {error.strerror}", "the daemon must be able to write there")
    if age is None or age > 2 * hours:
        found = "there is no backup" if age is None else f"the last backup is {age:.0f} h old"
        return warning(f"{found} in {folder}", "does the daemon run? it makes them")
    return ok(f"the last backup is {age:.0f} h old")


def certificates(site: Site) -> Iterator[Finding]:
    """How long the certificates of the DICOM port and of the page are good."""
    tls, web = site.config.dicom.tls, site.config.web
    if tls is not None:
        yield _certificate(site, "DICOM over TLS", tls.certificate, tls.private_key)
        if tls.authorities is not None:
            yield from _authorities(site, tls.authorities)
    if web.certificate is not None and web.private_key is not None:
        yield _certificate(site, "page", web.certificate, web.private_key)


def _certificate(site: Site, name: str, certificate: Path, private_key: Path) -> Finding:
    try:
        with site.as_user():
            end = end_of_certificate(certificate, private_key)
    except TlsUnusable as error:
        return problem(f"{name}: {error}", "correct the file, or whose it is")
    if end is None:
        return warning(f"{name}: the end of {certificate} cannot be told", "is it valid already?")
    return _ends(f"{name}: the certificate", end)


def _authorities(site: Site, path: Path) -> Iterator[Finding]:
    """Those whose certificates senders must have, in the order of the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        with site.as_user():
            context.load_verify_locations(path)
    except OSError:  # ssl.SSLError is one
        yield problem(f"{path}: cannot be read as certificates", "correct it, or whose it is")
    for number, authority in enumerate(context.get_ca_certs(), 1):
        end = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(authority["notAfter"])), UTC)
        yield _ends(f"DICOM over TLS: authority {number} of {path.name}", end)


def _ends(what: str, end: datetime) -> Finding:
    days = (end - datetime.now(UTC)).total_seconds() / 86_400
    if days <= 0:
        return problem(f"{what} has ended", _EXPIRED)
    told = f"{what} ends on {end:%Y-%m-%d}, in {days:.0f} days"
    return warning(told, _EXPIRED) if days <= WARNED_DAYS else ok(told)
