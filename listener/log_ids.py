"""What a log line belongs to: a request, an association, a series, a job.

It is said once, by who begins the work; every line that is logged within carries it. The values
are UIDs, numbers and ids of ours, never anything about a patient.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from types import MappingProxyType

_NONE: Mapping[str, object] = MappingProxyType({})
_ids: ContextVar[Mapping[str, object]] = ContextVar("log_ids", default=_NONE)


def log_ids() -> Mapping[str, object]:
    """What is known now, by name."""
    return _ids.get()


@contextmanager
def logged_as(**ids: object) -> Iterator[None]:
    """Have what is logged within say so.

    >>> with logged_as(job=12), logged_as(series=7):
    ...     dict(log_ids())
    {'job': 12, 'series': 7}
    >>> dict(log_ids())
    {}
    """
    token = _ids.set({**_ids.get(), **ids})
    try:
        yield
    finally:
        _ids.reset(token)


def log_as(**ids: object) -> None:
    """Have all that this thread or task logs from now on say so."""
    _ids.set({**_ids.get(), **ids})
