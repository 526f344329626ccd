"""Errors of the SHOW step."""


class WebError(Exception):
    """Base of all errors of this package."""


class BadListenAddress(WebError, ValueError):
    """The `listen` setting is no loopback address with a port."""


class LedgerUnavailable(WebError):
    """The ledger is there but cannot be read at the moment."""


class OutsideResults(WebError):
    """The ledger names a file that is not below the results folder."""


class FileGone(WebError):
    """The ledger names a file that is no longer there."""
