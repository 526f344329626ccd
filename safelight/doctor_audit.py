"""What ``safelight doctor`` says of the audit trail: whether it is whole, and is taken."""

from collections.abc import Iterator

from processor.words import count
from safelight.audit_check import checked
from safelight.audit_delivery import delivery_of
from safelight.doctor_findings import Finding, failed, ok, problem, warning
from safelight.doctor_site import Site
from safelight.errors import SyslogUnavailable
from safelight.syslog import deliver
from web_status.settings import SyslogSettings

_KEEP = "keep a copy of the files as they are, and ask who had access to this machine"
_ITS_LOG = "its log says why"


def audit(site: Site) -> Iterator[Finding]:
    """Whether the lines of the audit trail fit together, and the syslog server takes them."""
    try:
        with site.as_user():
            found = checked(site.config.storage.data)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        yield problem(f"the audit trail cannot be read: {reason}", "run this as root")
        return
    if found.faults:
        yield problem(f"the audit trail: {found.faults[0]}", _KEEP)
    else:
        yield ok(f"the audit trail has {count(found.lines, 'line')}; each fits the one before it")
    syslog = site.config.audit.syslog
    if syslog is None:
        yield ok("it is sent nowhere: [audit.syslog] has no host")
        return
    yield from _taken(site, syslog, found.number)


def _taken(site: Site, syslog: SyslogSettings, number: int) -> Iterator[Finding]:
    """Whether the server answers, to whom nothing is sent, and how much waits."""
    where = f"syslog server {syslog.host}:{syslog.port}"
    try:
        deliver(syslog, ())
    except SyslogUnavailable as error:
        yield failed(error, _ITS_LOG)
    else:
        yield ok(f"{where} answers, and its certificate is good")
    told = delivery_of(site.config.storage.data)
    waiting = count(max(0, number - told.number), "line waits", "lines wait")
    if told.is_late(syslog.late_minutes):
        yield warning(f"{waiting} since {told.since[:16]} UTC", f"last trouble: {told.problem}")
    else:
        yield ok(f"{waiting} to be sent to it")
