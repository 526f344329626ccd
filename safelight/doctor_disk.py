"""What ``safelight doctor`` looks at of the disk: room, speed, and what its filesystem can.

It changes nothing but one small file, which it writes again and again to time it, and removes.
"""

import os
import statistics
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from listener.durable import write_durably
from listener.landing import NETWORK_FILESYSTEMS, filesystem_of, why_polling
from safelight.disk import NO_GROWTH, disk_state
from safelight.doctor_findings import Finding, ok, problem, warning
from safelight.doctor_site import Site
from safelight.status import disk_line

_SLOW_SECONDS = 0.03
_WRITES = 20
_WRITING_SECONDS = 3.0
_INODES_MIN = 0.05
_QUEUES_MIN = 16
_SPARE = 1.2
_LIMITS = Path("/proc/sys/fs/inotify")
_MEMORY = ("tmpfs", "ramfs")


def disk(site: Site) -> Iterator[Finding]:
    """How much room there is, and how long a durable write takes."""
    storage = site.config.storage
    try:
        with site.ledger() as reader:
            before, growth = (reader.disk_stage(), reader.growth()) if reader else (None, NO_GROWTH)
        state = disk_state(storage, before, growth)
    except OSError as error:
        yield problem(f"{storage.data}: {error.strerror}", "is its filesystem there?")
        return
    told = disk_line(state).removeprefix("disk: ")
    remedy = "make room, have rules delete ([rule.keep]), or lower the marks of [storage]"
    level = {"ample": ok(told), "warn": warning(told, remedy)}
    yield level.get(state.stage) or problem(told, remedy)
    yield from _file_numbers(storage.data)
    yield _speed(site)


def _file_numbers(folder: Path) -> Iterator[Finding]:
    while not folder.exists():
        folder = folder.parent
    status = os.statvfs(folder)
    if status.f_files and status.f_favail < status.f_files * _INODES_MIN:
        yield warning(
            f"{folder}: only {status.f_favail:,} more files can be made (inodes)",
            "make room, or a filesystem with more inodes: each instance is a file",
        )


def _speed(site: Site) -> Finding:
    spool = site.config.storage.spool
    try:
        with site.as_user():
            if not spool.is_dir():
                return ok("speed: not measured, there is no spool yet")
            seconds = _written(spool / f".doctor-{uuid.uuid4().hex}")
    except OSError as error:
        return problem(
            f"{spool}: a file cannot be written: {error.strerror}",
            "nothing can be received: make room, or let the service write there",
        )
    took = statistics.median(seconds)
    told = f"a durable write takes {took * 1000:.1f} ms, at worst {max(seconds) * 1000:.1f} ms"
    if took < _SLOW_SECONDS:
        return ok(told)
    return warning(
        f"{told}: an association brings at most {1 / took:.0f} instances a second",
        "put the spool on a local SSD or a controller with a battery; is another program writing?",
    )


def _written(path: Path) -> list[float]:
    """How long it took each time to write a file as an instance is written, with its fsyncs."""
    seconds: list[float] = []
    try:
        while len(seconds) < _WRITES and sum(seconds) < _WRITING_SECONDS:
            started = time.perf_counter()
            write_durably(path, bytes(4096))
            seconds.append(time.perf_counter() - started)
    finally:
        path.unlink(missing_ok=True)
    return seconds


def filesystem(site: Site) -> Iterator[Finding]:
    """Whether ledger, spool and results are on filesystems that are good for them."""
    storage = site.config.storage
    ledger = filesystem_of(storage.ledger)
    if ledger.startswith(NETWORK_FILESYSTEMS):
        yield problem(
            f"the ledger is on {ledger}: SQLite cannot rely on its locks, the ledger may break",
            f"keep [storage] data on a local disk, and mount the other at {storage.results}",
        )
    for name, folder in (("spool", storage.spool), ("results", storage.results)):
        kind = filesystem_of(folder)
        if kind in _MEMORY:
            yield problem(
                f"{name} on {kind}: a restart of the machine loses it",
                "set [storage] data to a folder on a disk",
            )
        else:
            yield ok(f"{name}: {kind or 'of an unknown kind'}")


def inotify(site: Site) -> Iterator[Finding]:
    """Whether the kernel will tell the daemon of all that lands in the spool."""
    instances = site.config.storage.spool / "instances"
    reason = why_polling(site.config.series.watch, instances)
    if reason is not None:
        yield ok(f"not used, the spool is polled: {reason}")
        return
    try:
        watches, queues = (_limit(name) for name in ("max_user_watches", "max_user_instances"))
    except (OSError, ValueError):
        yield warning("the limits cannot be read", "is /proc mounted?")
        return
    # One for the root, each study and each series.
    needed = 1 + sum(1 for level in ("*", "*/*") for _ in instances.glob(level))
    told = f"{watches:,} folders can be watched, the spool has {needed:,}; {queues} queues"
    if needed * _SPARE > watches:
        yield _raised(told, "max_user_watches", max(524_288, 4 * needed))
    elif queues < _QUEUES_MIN:
        yield _raised(told, "max_user_instances", 128)
    else:
        yield ok(told)


def _limit(name: str) -> int:
    return int((_LIMITS / name).read_text())


def _raised(told: str, name: str, limit: int) -> Finding:
    return warning(
        f"{told}: the daemon will poll instead, which is slower",
        f"echo fs.inotify.{name}={limit} > /etc/sysctl.d/60-safelight.conf && sysctl --system",
    )
