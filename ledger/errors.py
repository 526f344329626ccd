"""Errors of the RECORD step."""


class LedgerError(Exception):
    """Base of all errors of this package."""


class NewerSchema(LedgerError):
    """The ledger was written by a newer version of Safelight."""


class UnreadableLedger(LedgerError):
    """The ledger file is not a SQLite database, or is damaged."""


class LedgerLocked(LedgerError):
    """Another program holds the ledger locked; it can be opened when that lets go."""


class NoLedger(LedgerError, FileNotFoundError):
    """There is no ledger yet: the daemon has not run here."""


class NotInLedger(LedgerError, LookupError):
    """The ledger has no such entry."""
