"""How long the pages take on a ledger of 100,000 studies."""
