"""Safelight's receiver alone: processes that share one listening socket, durable or not."""

import multiprocessing
import signal
import socket
from pathlib import Path

import click

from listener.part10 import silence_dicom_libraries
from listener.roster import Roster
from listener.scp import Receiver
from listener.settings import AcceptRule, ReceiverSettings
from listener.sockets import listen
from listener.spool import Spool, SpoolSettings


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--root", type=click.Path(path_type=Path), required=True)
@click.option("--processes", type=int, default=1)
@click.option("--durable/--no-durable", default=False)
def main(port: int, root: Path, processes: int, *, durable: bool) -> None:
    """Receive until killed."""
    context = multiprocessing.get_context("spawn")
    accept = (AcceptRule(calling_ae="*", addresses=("127.0.0.1/32",)),)
    settings = ReceiverSettings(host="127.0.0.1", port=port, accept=accept, processes=processes)
    spool = SpoolSettings(root, durable=durable)
    roster = Roster(processes, settings.maximum_associations)
    with listen(settings.host, port) as listening:
        receivers = [
            context.Process(
                target=_receive, args=(settings, spool, roster, number, listening), daemon=True
            )
            for number in range(processes)
        ]
        for receiver in receivers:
            receiver.start()
        for receiver in receivers:
            receiver.join()


def _receive(
    settings: ReceiverSettings,
    spool: SpoolSettings,
    roster: Roster,
    number: int,
    listening: socket.socket,
) -> None:
    """One receiver process, as `safelight.receiver` runs it."""
    silence_dicom_libraries()
    receiver = Receiver(settings, Spool(spool, f"receiver-{number}"), roster, number)
    receiver.start(plain=listening)
    while True:
        signal.pause()


if __name__ == "__main__":
    main()
