"""The commands ``verify`` and ``ledger``."""

import dataclasses
import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from safelight.options import config_option, configuration

if TYPE_CHECKING:
    from ledger.verify import Balance, Loss

_NAMED = 20  # so many losses are named, the rest are counted


@click.command()
@config_option
@click.option("--deep", is_flag=True, help="Compare the SHA-256 of each file, not only its size.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(file: Path | None, *, deep: bool, as_json: bool) -> None:
    """Check that nothing is lost: acknowledged = in a series + quarantined + dropped by a rule.

    It only reads, beside a running daemon or without one. Exit code 1 where something is lost.
    """
    from ledger.verify import verify as count_all

    storage = configuration(file).storage
    balance = count_all(storage.ledger, storage.spool, deep=deep)
    if as_json:
        document = {
            **dataclasses.asdict(balance),
            "acknowledged": balance.acknowledged,
            "accounted": balance.accounted,
        }
        click.echo(json.dumps(document, indent=2))
    else:
        click.echo("\n".join(balance_lines(balance)))
    sys.exit(1 if balance.losses else 0)


@click.group("ledger")
def ledger_group() -> None:
    """Look after the ledger, the index of the spool."""


@ledger_group.command("rebuild")
@config_option
def rebuild_command(file: Path | None) -> None:
    """Make the ledger again from the spool and the results; the daemon must not run.

    The earlier ledger is kept beside the new one, under a name with the time.
    """
    from ledger.rebuild import rebuild
    from safelight.data_lock import lock_data

    storage = configuration(file).storage
    lock = lock_data(storage.data)
    try:
        started = time.monotonic()
        rebuilt = rebuild(storage.ledger, storage.spool, storage.results)
    finally:
        os.close(lock)
    click.echo(
        f"{rebuilt.series} series, {rebuilt.instances} instances, {rebuilt.jobs} published jobs,"
        f" {rebuilt.quarantined} in quarantine ({time.monotonic() - started:.0f} s)"
    )
    if rebuilt.set_aside is not None:
        click.echo(f"the earlier ledger is kept as {rebuilt.set_aside.name}")
    if rebuilt.deleted:
        click.echo(f"{rebuilt.deleted} instances that rules had deleted, from the record of them")
    if rebuilt.left:
        click.echo(f"{rebuilt.left} files could not be placed; the daemon will judge them")
    for uid in rebuilt.altered[:_NAMED]:
        click.echo(f"altered since it was received: {uid}")
    if len(rebuilt.altered) > _NAMED:
        click.echo(f"... and {len(rebuilt.altered) - _NAMED} more")


@ledger_group.command("backup")
@config_option
@click.argument("target", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
def backup_command(file: Path | None, target: Path) -> None:
    """Back up what the spool and the results do not tell; the daemon may run.

    One tar file: ledger, site key, users, audit trail, rules made on the page, configuration.
    In a FOLDER it is named by the time.
    """
    from processor.words import size
    from safelight.backup import make_backup

    made = make_backup(configuration(file), target)
    click.echo(f"{made}: {size(made.stat().st_size)}, checked")


@ledger_group.command("restore")
@config_option
@click.argument("backup", type=click.Path(path_type=Path, exists=True, dir_okay=False))
def restore_command(file: Path | None, backup: Path) -> None:
    """Put a BACKUP of the ledger in force; the daemon must not run.

    The ledger that is there is kept beside it. Key, users, audit trail and rules are put back
    only where there are none; the configuration is not.
    """
    from safelight.data_lock import lock_data
    from safelight.restoring import restore

    config = configuration(file)
    lock = lock_data(config.storage.data)
    try:
        restored = restore(config, backup)
    finally:
        os.close(lock)
    made = restored.manifest
    click.echo(f"the ledger of {made.made_at} is in force (Safelight {made.safelight})")
    if restored.set_aside is not None:
        click.echo(f"the ledger before is kept as {restored.set_aside.name}")
    for name in restored.put_back:
        click.echo(f"put back: {name}")
    for name in restored.left:
        click.echo(f"NOT put back, another one is here: {name}")
    click.echo("now start the daemon: what came since then it takes from the spool")
    click.echo("then run: safelight verify")


def balance_lines(balance: "Balance") -> list[str]:
    """The equation and what does not fit it, a line each."""
    left = {
        "acknowledged": balance.acknowledged,
        "  stored": balance.stored,
        "  stored, on associations that have not told": balance.untold,
        "  duplicates": balance.duplicates,
        "  second versions": balance.second_versions,
    }
    right = {
        "accounted for": balance.accounted,
        "  in a series": balance.in_series,
        **{f'  dropped by "{rule}"': count for rule, count in balance.dropped.items()},
        "  in quarantine": balance.quarantined,
        "  deleted by retention": balance.deleted,
        "  in the spool, not in the ledger yet": balance.on_the_way,
        "  acknowledged again, nothing new": balance.repeated,
    }
    lines = [
        f"{name:<46}{count:>12}"
        for name, count in (left | right).items()
        if count or not name.startswith(" ")
    ]
    lines += [_told(loss) for loss in balance.losses[:_NAMED]]
    lost = sum(loss.instances for loss in balance.losses)
    return [*lines, f"{lost} lost" if lost else "it balances: nothing is lost"]


def _told(loss: "Loss") -> str:
    if loss.fault == "unaccounted":
        return f"LOST  {loss.instances} instances of association {loss.uid}: nothing says where"
    where = f"series {loss.series_uid}" if loss.series_uid else "quarantine"
    what = {"missing": "no file", "size": "another size", "sha256": "other bytes"}[loss.fault]
    return f"LOST  {loss.uid} of {where}: {what}"
