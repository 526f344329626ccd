"""The SHOW step: a web page on the ledger. What it changes, it has the daemon do."""
