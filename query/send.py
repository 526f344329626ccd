"""Sends files to a PACS, by C-STORE or STOW-RS, and again what may succeed later.

What became of each instance is always told, also where the connection fails in the middle.
"""

from collections.abc import Callable, Iterator, Sequence

from query.files import DicomFile
from query.sent import SendOutcome, SendPolicy, Sent
from query.settings import PacsSettings
from query.store import store


def send_files(
    files: Sequence[DicomFile],
    receiver: PacsSettings,
    *,
    calling_ae: str,
    on_sent: Callable[[Sent], None] | None = None,
    policy: SendPolicy | None = None,
) -> SendOutcome:
    """Send files; one that is refused, and an association that ends, does not lose the others.

    Parameters
    ----------
    files
        What to send. More presentation contexts than one association can have make several.
    receiver
        Whom to send to; its `send` says how.
    calling_ae
        Our AE title.
    on_sent
        Told about each file, as soon as it is settled.
    policy
        How hard it is tried; once, without it.

    Returns
    -------
    SendOutcome
        With each file, once. Statuses of the receiver are those of `query.statuses.STORE`; where
        it could not be reached or did not answer, the reason is that of the `QueryError`.
    """
    policy = policy or SendPolicy()
    settled: list[Sent] = []
    pending = list(files)
    for left in reversed(range(policy.tries)):
        again: list[DicomFile] = []
        for one in _once(pending, receiver, calling_ae, policy):
            if left and one.is_retriable and not one.accepted:
                again.append(one.file)
                continue
            settled.append(one)
            if on_sent is not None:
                on_sent(one)
        pending = again
        if not pending:
            break
        policy.wait(policy.retry_seconds * 2.0 ** (policy.tries - 1 - left))
    return SendOutcome(tuple(settled))


def _once(
    files: Sequence[DicomFile], receiver: PacsSettings, calling_ae: str, policy: SendPolicy
) -> Iterator[Sent]:
    if receiver.send == "store":
        return store(files, receiver, calling_ae=calling_ae, decompress=policy.decompress)
    from query.stow import stow  # noqa: PLC0415 - its libraries take long, and few need them

    return stow(files, receiver, calling_ae=calling_ae)
