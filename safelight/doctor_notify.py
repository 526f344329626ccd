"""What ``safelight doctor`` says of notifications. It tells nobody anything."""

from collections.abc import Iterator
from dataclasses import replace

from safelight.delivering import reach
from safelight.doctor_findings import Finding, failed, ok
from safelight.doctor_site import Site
from safelight.errors import NotDelivered


def notifications(site: Site) -> Iterator[Finding]:
    """Whether each target can be reached: of mail, that the server takes our login."""
    for target in site.config.notify:
        try:
            with site.as_user():
                told = reach(target, site.config.smtp)
        except NotDelivered as error:
            found = failed(error, f"correct it, then: safelight notify test {target.name}")
            yield replace(found, what=f"{target.name}: {found.what}")
        else:
            yield ok(f"{target.name}: {told}")
