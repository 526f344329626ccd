"""Sends what a person names to a PACS, and says what became of it."""

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from listener.settings import host_and_port
from query.committing import Commitment, request_commitment
from query.errors import QueryError
from query.files import DicomFile, dicom_files
from query.keys import is_uid
from query.send import send_files
from query.sent import SendOutcome, SendPolicy, Sent
from query.settings import PacsSettings
from safelight.audit_deeds import audit_trail, begin_sending, who_calls
from safelight.config import find_file
from safelight.errors import ConfigError
from safelight.options import configuration
from safelight.unpacking import is_archive, unpack

_CALLING_AE = "SAFELIGHT_SEND"
_RESERVE_BYTES = 1 << 28  # left free where a ZIP is unpacked


@dataclass(frozen=True)
class Asked:
    """The options of ``safelight send``."""

    to: str
    aet: str | None
    calling: str | None
    tries: int
    retry_seconds: float
    decompress: bool
    commit: bool
    commit_seconds: float
    report_port: int | None
    as_json: bool


@dataclass(frozen=True)
class _Result:
    """What became of all that was to be sent; `problem` says why nobody was asked to commit."""

    receiver: PacsSettings
    outcome: SendOutcome
    skipped: int
    commitment: Commitment | None = None
    problem: str = ""

    @property
    def is_well(self) -> bool:
        """Whether everything was accepted and, where that was asked for, committed."""
        if not self.outcome.accepted or self.outcome.refusals() or self.problem:
            return False
        return self.commitment is None or not (self.commitment.failed or self.commitment.unanswered)


def send_targets(config_file: Path | None, targets: Sequence[str], asked: Asked) -> int:
    """Send files, folders, ZIPs and studies of the spool; return the exit code.

    Raises
    ------
    ConfigError
        The receiver or a study is not known; what was expected is named.
    UnusableArchive
        A ZIP cannot be unpacked.
    """
    receiver, calling_ae = _receiver(config_file, asked)
    if asked.commit and receiver.send == "dicomweb":
        raise click.UsageError("--commit: storage commitment is not asked for by DICOMweb")
    with TemporaryDirectory(prefix="safelight-send-") as folder:
        files, skipped = _files(config_file, targets, Path(folder))
        policy = SendPolicy(asked.tries, asked.retry_seconds, asked.decompress)
        with _progress(len(files)) as advance:
            settle = _begin(config_file, receiver, files)
            outcome = send_files(
                files, receiver, calling_ae=calling_ae, on_sent=advance, policy=policy
            )
            settle(outcome)
        result = _Result(receiver, outcome, skipped)
        if asked.commit and outcome.accepted:
            result = _committed(result, calling_ae, asked)
    if asked.as_json:
        click.echo(json.dumps(_document(result), indent=2, ensure_ascii=False))
    else:
        _print(result)
    return 0 if result.is_well else 1


def _receiver(config_file: Path | None, asked: Asked) -> tuple[PacsSettings, str]:
    """The receiver and our AE title."""
    if ":" not in asked.to:
        config = configuration(config_file)
        receiver = config.pacs_named(asked.to)
        ae_title = asked.aet or receiver.ae_title
        return replace(receiver, ae_title=ae_title), asked.calling or config.dicom.ae_title
    if not asked.aet:
        raise click.UsageError("--aet: needed where --to is HOST:PORT")
    try:
        host, port = host_and_port(asked.to, "--to")
        receiver = PacsSettings(name=asked.to, ae_title=asked.aet, host=host, port=port)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    return receiver, asked.calling or _CALLING_AE


def _files(
    config_file: Path | None, targets: Sequence[str], folder: Path
) -> tuple[list[DicomFile], int]:
    """What is to be sent, and how many files are left out; ZIPs are unpacked below `folder`."""
    files: list[DicomFile] = []
    skipped = 0
    for number, target in enumerate(targets):
        path = Path(target)
        if is_archive(path):
            unpacked = folder / str(number)
            unpacked.mkdir()
            unpack(path, unpacked, reserve_bytes=_RESERVE_BYTES)
            path = unpacked
        elif not path.exists():
            path = _study(config_file, target)
        found, left_out = dicom_files(path)
        files += found
        skipped += left_out
    return files, skipped


def _study(config_file: Path | None, target: str) -> Path:
    """The folder of a study in the spool."""
    if is_uid(target):
        folder = configuration(config_file).storage.spool / "instances" / target
        if folder.is_dir():
            return folder
    raise ConfigError(f"{target}: no file, no folder, and no study of the spool")


def _begin(
    config_file: Path | None, receiver: PacsSettings, files: Sequence[DicomFile]
) -> Callable[[SendOutcome], None]:
    """Have the audit trail of the node whose configuration this is say what is sent, and was."""
    found = find_file(config_file)
    if found is not None:
        config = configuration(found)
        if config.storage.data.is_dir():
            return begin_sending(audit_trail(config), receiver, files, who_calls())
    return lambda _: None


@contextmanager
def _progress(count: int) -> Iterator[Callable[[Sent], None]]:
    """A bar that counts instances."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("sending", total=count)
        yield lambda _: progress.advance(task)


def _committed(result: _Result, calling_ae: str, asked: Asked) -> _Result:
    """The result with what the receiver says of keeping what it accepted."""
    accepted = [one.file for one in result.outcome.sent if one.accepted]
    try:
        commitment = request_commitment(
            result.receiver,
            accepted,
            calling_ae=calling_ae,
            wait_seconds=asked.commit_seconds,
            report_port=asked.report_port,
        )
    except QueryError as error:
        return replace(result, problem=str(error))
    return replace(result, commitment=commitment)


def _print(result: _Result) -> None:
    outcome, receiver = result.outcome, result.receiver
    click.echo(f"{outcome.accepted} instances accepted by {receiver.ae_title}")
    for reason, count in outcome.warnings().items():
        click.echo(f"{count} accepted with a warning: {reason}")
    if result.skipped:
        click.echo(f"{result.skipped} files are not DICOM and were left out")
    for reason, count in outcome.refusals().items():
        click.echo(f"{count} not accepted: {reason}", err=True)
    if result.problem:
        click.echo(f"not committed: {result.problem}", err=True)
    if result.commitment is not None:
        _print_commitment(result.commitment, receiver)


def _print_commitment(commitment: Commitment, receiver: PacsSettings) -> None:
    click.echo(f"{len(commitment.committed)} committed by {receiver.ae_title}")
    for reason, count in Counter(commitment.failed.values()).items():
        click.echo(f"{count} not committed: {reason}", err=True)
    if commitment.unanswered:
        click.echo(
            f"{len(commitment.unanswered)} not committed: no report came in time; where"
            f" {receiver.ae_title} reports on an association of its own, give --report-port",
            err=True,
        )


def _document(result: _Result) -> dict[str, object]:
    return {
        "to": result.receiver.name,
        "ae_title": result.receiver.ae_title,
        "accepted": result.outcome.accepted,
        "skipped": result.skipped,
        "is_well": result.is_well,
        "problem": result.problem,
        "instances": [_instance(one, result.commitment) for one in result.outcome.sent],
    }


def _instance(one: Sent, commitment: Commitment | None) -> dict[str, object]:
    uid = one.file.SOPInstanceUID
    told: dict[str, object] = {
        "SOPInstanceUID": uid,
        "accepted": one.accepted,
        "status": one.status,
        "reason": one.told,
    }
    if commitment is not None:
        told["committed"] = uid in commitment.committed
        told["not_committed"] = commitment.failed.get(uid, "")
    return told
