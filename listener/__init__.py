"""The RECEIVE and GROUP steps: storage SCP, spool, and the watcher that closes series."""
