"""What ``safelight doctor`` looks at on this machine: ports, folders and the clock."""

import ctypes
import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from safelight.doctor_findings import Finding, ok, problem, warning
from safelight.doctor_site import Site
from safelight.errors import PortInUse
from safelight.ports import is_held_by, is_held_by_systemd, require_free

_AHEAD = timedelta(minutes=1)
_TIME_ERROR = 5  # of adjtimex(2): the clock is not synchronised


def ports(site: Site) -> Iterator[Finding]:
    """Whether each port is the daemon's, or free for it."""
    dicom, web = site.config.dicom, site.config.web
    yield _port(site, "DICOM", dicom.host, dicom.port, "[dicom] port")
    if dicom.tls is not None:
        yield _port(site, "DICOM over TLS", dicom.host, dicom.tls.port, "[dicom.tls] port")
    if web.port:  # 0: the operating system chooses
        yield _port(site, "page", web.host, web.port, "[web] listen")


def _port(site: Site, name: str, host: str, port: int, key: str) -> Finding:
    try:
        if site.daemon is not None and is_held_by(port, site.daemon):
            return ok(f"{name}: the daemon (process {site.daemon}) listens on port {port}")
    except psutil.Error:
        return warning(
            f"{name}: who listens on port {port} cannot be seen", "run this as root, with sudo"
        )
    try:
        require_free(host, port, f"end it, or choose another with {key}")
    except PortInUse as error:
        if site.daemon is None and is_held_by_systemd(port):
            return ok(f"{name}: systemd listens on port {port}, and starts the service")
        what, _, remedy = str(error).partition("; ")
        return problem(f"{name}: {what}", remedy)
    if site.daemon is not None:
        return problem(
            f"{name}: nobody listens on port {port}, although the daemon runs",
            "restart it if the configuration has changed since; else its log says why",
        )
    return ok(f"{name}: port {port} is free; no daemon runs")


def folders(site: Site) -> Iterator[Finding]:
    """Whether the daemon may write where it must, and others may not read."""
    storage = site.config.storage
    if os.geteuid() not in (0, site.user):
        yield warning(f"{storage.data}: belongs to {site.user_name}", "run this as root, with sudo")
        return
    within = (storage.spool, storage.results, storage.scratch, storage.requests)
    with site.as_user():
        found = _folder(site, storage.data) or [
            *(one for folder in within for one in _folder(site, folder)),
            *_readable_by_others(storage.data),
        ]
        is_there = os.path.lexists(storage.data)
    told = f"{site.user_name} may write, others may not read"
    yield from found or [ok(f"{storage.data}: {told if is_there else 'made at the first start'}")]


def _folder(site: Site, folder: Path) -> list[Finding]:
    """What is wrong with one; nothing where it is in order, or will be made."""
    user, place = site.user_name, folder
    while not os.path.lexists(place):
        place = place.parent
    if not place.is_dir():
        return [problem(f"{place}: not a folder", "move it away")]
    if os.access(place, os.W_OK | os.X_OK, effective_ids=True):
        return []
    if place == folder:
        remedy = f"chown -R {user}: {folder}; is the filesystem mounted read-only?"
        return [problem(f"{folder}: {user} may not write to it", remedy)]
    what = f"{folder}: is not there, or {user} may not enter {place} or not make it there"
    return [problem(what, f"install -d -o {user} -m 750 {folder}")]


def _readable_by_others(folder: Path) -> list[Finding]:
    try:
        is_open = folder.stat().st_mode & stat.S_IRWXO
    except OSError:
        return []
    what = f"{folder}: everybody on this machine may enter it, and it holds patients' data"
    return [warning(what, f"chmod o-rwx {folder}")] if is_open else []


def clock(site: Site) -> Iterator[Finding]:
    """Whether the clock is kept right, and has not gone back."""
    with site.ledger() as reader:
        latest = reader.associations(limit=1) if reader else ()
    now = datetime.now(UTC)
    if latest and datetime.fromisoformat(latest[0].began_at) > now + _AHEAD:
        yield problem(
            f"it is {now:%Y-%m-%d %H:%M} UTC here, and the latest association began later, at"
            f" {latest[0].began_at[:16]}",
            "set the clock: quiet times, retention and windows go by it",
        )
    # No field of it says that anything be set: it only reads.
    if ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512)) == _TIME_ERROR:
        yield warning(
            f"{now:%Y-%m-%d %H:%M:%S} UTC; nothing keeps it right (not synchronised)",
            "run a time service (chrony, systemd-timesyncd), unless the host of this machine does",
        )
    else:
        yield ok(f"{now:%Y-%m-%d %H:%M:%S} UTC, synchronised")
