"""How long it takes to make the ledger again from a spool."""
