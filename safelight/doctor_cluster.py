"""What ``safelight doctor`` says of the Dask cluster, where jobs run on one."""

from collections.abc import Iterator

from processor.errors import ClusterAway
from processor.words import count
from safelight.doctor_findings import Finding, failed, ok, problem, warning
from safelight.doctor_site import Site

_START = "start dask scheduler there, or correct [processing] scheduler"


def cluster(site: Site) -> Iterator[Finding]:
    """Whether the scheduler answers, and which of its workers can run jobs."""
    settings = site.config.processing
    if settings.engine == "local":
        yield ok(f"not used: jobs run here, {settings.workers} at once")
        return
    from processor.cluster.survey import survey  # noqa: PLC0415 - an extra that few install

    try:
        with site.as_user():
            found = survey(settings, site.config.storage.data, (site.config.storage.scratch,))
    except ClusterAway as error:
        yield failed(error, _START)
        return
    yield ok(f"the scheduler {settings.scheduler} answers; it has Dask {found.dask}")
    for one in found.workers:
        yield _worker(one.name, one.address, one.capacity, one.problem)
    if all(one.problem for one in found.workers):
        yield problem(
            f"{count(len(found.workers), 'worker')}, and none that can run jobs: they wait",
            f"dask worker {settings.scheduler} --no-nanny, where the same Safelight is installed",
        )
    if settings.transfer == "wire" and settings.tls is None:
        yield warning(
            "patients' images are sent to the workers without encryption",
            "give scheduler and workers certificates, and name ours in [processing.tls]",
        )


def _worker(name: str, address: str, capacity: int, why_not: str) -> Finding:
    if why_not:
        what, _, remedy = why_not.partition("; ")
        return warning(f"worker {name} at {address} gets no jobs: {what}", remedy)
    return ok(f"worker {name} at {address} takes {count(capacity, 'job')} at once")
