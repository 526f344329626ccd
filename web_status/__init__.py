"""The SHOW step: a web page on the ledger. It reads; it never writes to the ledger or results."""
