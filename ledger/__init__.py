"""The RECORD step: the SQLite ledger of everything that happened. Only this package touches it."""
