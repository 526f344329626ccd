"""A receiver without the rest of Safelight, in a process that can start it again at once.

Each line of standard input is ``{"spool": {...}, "dicom": {...}}``, the arguments of
`SpoolSettings` and `ReceiverSettings`. It forks; the child discards what is unfinished in the
spool, receives, and prints its process number once it listens. Forking saves the imports, so
that a sweep can kill hundreds of receivers.
"""

import ctypes
import faulthandler
import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path

from listener.part10 import silence_dicom_libraries
from listener.scp import Receiver
from listener.settings import AcceptRule, ReceiverSettings
from listener.spool import Spool, SpoolSettings

# From linux/prctl.h: the signal that the parent's end sends; who may attach with ptrace.
PR_SET_PDEATHSIG, PR_SET_PTRACER, PR_SET_PTRACER_ANY = 1, 0x59616D61, ctypes.c_ulong(-1)


def receive(spool: dict, dicom: dict) -> None:
    """Receive until SIGTERM."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    libc.prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY)
    stop = threading.Event()
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    faulthandler.register(signal.SIGUSR1)  # prints where every thread is, for a hang
    kept = Spool(SpoolSettings(**{**spool, "root": Path(spool["root"])}))
    kept.discard_incoming()
    settings = ReceiverSettings(
        host="127.0.0.1", accept=(AcceptRule("*", ("127.0.0.0/8",)),), **dicom
    )
    receiver = Receiver(settings, kept)
    receiver.start()
    sys.stdout.write(f"{os.getpid()}\n")
    sys.stdout.flush()
    while not stop.wait(0.5):
        receiver.heartbeat()
    receiver.stop()


def main() -> None:
    """Start a receiver for each line of standard input."""
    silence_dicom_libraries()
    logging.basicConfig(level=logging.ERROR)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel buries the children
    for line in sys.stdin:
        if os.fork() == 0:
            receive(**json.loads(line))
            os._exit(0)


if __name__ == "__main__":
    main()
