"""Sends what rules forward, and remembers what each receiver has taken.

A receipt is a line in a file for each receiver and series, written as soon as the receiver says
that it took an instance. So neither a second try, nor a restart, nor a later revision of the
series sends it again.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from processor.sending import Forwarded
from query.files import DicomFile, read_file
from query.send import send_files
from query.sent import SendPolicy, Sent
from query.settings import PacsSettings
from safelight.audit_deeds import audit_trail, begin_sending
from safelight.config import Config
from web_status.audit import AuditTrail

_UNREADABLE = "its file cannot be read: `safelight verify` says more"


@dataclass(frozen=True)
class Forwarding:
    """A `processor.sending.Sender` that knows the receivers of the configuration.

    Attributes
    ----------
    receivers : tuple of PacsSettings
        Those that rules may name.
    calling_ae : str
        Our AE title.
    receipts : Path
        The folder of the receipts.
    trail : AuditTrail
        Told what is sent, before and after.
    """

    receivers: tuple[PacsSettings, ...]
    calling_ae: str
    receipts: Path
    trail: AuditTrail

    @classmethod
    def of(cls, config: Config) -> "Forwarding":
        """That of a configuration."""
        return cls(
            config.pacs, config.dicom.ae_title, config.storage.forwarded, audit_trail(config)
        )

    def __call__(
        self,
        to: str,
        series_uid: str,
        files: Sequence[Path],
        *,
        decompress: bool,
        on_sent: Callable[[int], None],
    ) -> Forwarded:
        """Send to the receiver named `to` what it has not taken yet."""
        receiver = next((one for one in self.receivers if one.name == to), None)
        if receiver is None:
            reason = f"no [[pacs]] has the name {to}; it had when the rule was read"
            return Forwarded(0, refused={file.stem: reason for file in files})
        receipt = self.receipts / f"to-{quote(to, safe='')}" / series_uid
        taken = _taken(receipt)
        wanted = {file: _read(file) for file in files if file.stem not in taken}
        unreadable = {file.stem: _UNREADABLE for file, found in wanted.items() if found is None}
        sendable = [found for found in wanted.values() if found is not None]
        before = len(files) - len(wanted)
        with _writing(receipt) as note:
            settle = begin_sending(self.trail, receiver, sendable)
            outcome = send_files(
                sendable,
                receiver,
                calling_ae=self.calling_ae,
                on_sent=_settling(note, on_sent, before + len(unreadable)),
                policy=SendPolicy(decompress=decompress),
            )
            settle(outcome)
        refused = [one for one in outcome.sent if not one.accepted]
        return Forwarded(
            outcome.accepted,
            before,
            sum(outcome.warnings().values()),
            {**unreadable, **{one.file.path.stem: one.reason for one in refused}},
            is_retriable=any(one.is_retriable for one in refused),
        )


def _settling(
    note: Callable[[str], None], on_sent: Callable[[int], None], settled: int
) -> Callable[[Sent], None]:
    """Function that notes what was accepted, and tells how many instances are settled."""

    def on_one(one: Sent) -> None:
        nonlocal settled
        if one.accepted:
            note(one.file.path.stem)
        settled += 1
        on_sent(settled)

    return on_one


def _read(path: Path) -> DicomFile | None:
    try:
        return read_file(path)
    except OSError:
        return None


def _taken(receipt: Path) -> frozenset[str]:
    """The instances of a receipt; a line that was cut off by a crash counts for nothing."""
    try:
        lines = receipt.read_text(encoding="ascii", errors="replace").splitlines(keepends=True)
    except FileNotFoundError:
        return frozenset()
    return frozenset(line.rstrip("\n") for line in lines if line.endswith("\n"))


@contextmanager
def _writing(receipt: Path) -> Iterator[Callable[[str], None]]:
    receipt.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(receipt, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        yield lambda uid: _append(descriptor, f"{uid}\n".encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append(descriptor: int, line: bytes) -> None:
    os.write(descriptor, line)
