"""Errors of the RECORD step."""


class LedgerError(Exception):
    """Base of all errors of this package."""


class NewerSchema(LedgerError):
    """The ledger was written by a newer version of Safelight."""


class OlderSchema(LedgerError):
    """The ledger is of an earlier version of Safelight; the daemon upgrades it."""


class CopyFailed(LedgerError):
    """The ledger could not be copied; it is as it was."""


class UnreadableLedger(LedgerError):
    """The ledger file is not a SQLite database, or is damaged."""


class LedgerLocked(LedgerError):
    """Another program holds the ledger locked; it can be opened when that lets go."""


class NoLedger(LedgerError, FileNotFoundError):
    """There is no ledger yet: the daemon has not run here."""


class NotInLedger(LedgerError, LookupError):
    """The ledger has no such entry."""
