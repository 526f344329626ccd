"""The command ``rules reload``: it asks the running daemon, and waits for what comes of it."""

import os
import signal
import time

import click

from ledger.reader import LedgerReader
from ledger.rows import RuleLoadRow
from safelight.config import Config
from safelight.data_lock import running_pid
from safelight.errors import NotAnswered, RulesRefused

_ANSWER_SECONDS = 60.0
_POLL_SECONDS = 0.1


def reload(config: Config) -> None:
    """Have the daemon read its rules again; return when they are in force.

    Raises
    ------
    NotAnswered
        No daemon runs with this data folder, it is not ours, or it has not done it yet.
    RulesRefused
        They cannot be read, and those before stay in force.
    """
    process = running_pid(config.storage.data)
    if process is None:
        raise NotAnswered(
            f"no daemon runs with {config.storage.data}; it reads them when it starts"
        )
    before = _loads(config)
    try:
        os.kill(process, signal.SIGHUP)
    except PermissionError:
        raise NotAnswered("the daemon is another user's; run this as that user or root") from None
    in_force, refused = _wait_for_another(config, before)
    if refused is not None:
        raise RulesRefused(f"rules: {refused.problem}; the rules before stay in force")
    click.echo(f"{0 if in_force is None else in_force.rules} rules are in force")


_Loads = tuple[RuleLoadRow | None, RuleLoadRow | None]


def _wait_for_another(config: Config, before: _Loads) -> _Loads:
    deadline = time.monotonic() + _ANSWER_SECONDS
    while (loads := _loads(config)) == before:
        if time.monotonic() > deadline:
            raise NotAnswered(f"the daemon has not read its rules within {_ANSWER_SECONDS:.0f} s")
        time.sleep(_POLL_SECONDS)
    return loads


def _loads(config: Config) -> _Loads:
    reader = LedgerReader(config.storage.ledger)
    try:
        return reader.rules_in_force()
    finally:
        reader.close()
