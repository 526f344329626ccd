"""What people ask of the running daemon: each request is a small file in the data folder.

Only the daemon writes to the ledger. A command (or the page) leaves a file, whole or not at all;
the coordinator does what it says and answers by removing it. What is asked while no daemon runs
is done when one starts.
"""

import logging
import time
import uuid
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from json import dumps
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from ledger.retrieve_records import RetrieveOrder
from listener.durable import sync_folder, write_durably

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Request:
    """One request: ``resend`` and ``cancel`` name a job, ``pause`` and ``resume`` a processor.

    The empty processor stands for everything. ``decide_again`` names series. ``retrieve`` has the
    order of a retrieve list, ``retrieve_cancel`` and ``retrieve_again`` name one by its number.
    ``notify_resend`` and ``notify_forget`` name a notification, 0 all that were given up.
    ``reload`` has the rules read again.
    """

    what: Literal[
        "resend",
        "cancel",
        "pause",
        "resume",
        "reload",
        "decide_again",
        "retrieve",
        "retrieve_cancel",
        "retrieve_again",
        "notify_resend",
        "notify_forget",
    ]
    job: int = 0
    processor: str = ""
    series: tuple[int, ...] = ()
    order: RetrieveOrder | None = None
    notification: int = 0

    @property
    def is_about_retrieves(self) -> bool:
        """Whether it is about a retrieve list."""
        return self.what.startswith("retrieve")

    @property
    def is_about_notifications(self) -> bool:
        """Whether it is about a notification."""
        return self.what.startswith("notify")


class Requests:
    """The folder of requests.

    Parameters
    ----------
    folder
        It is the daemon that makes it, so that the daemon may remove files from it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def leave(self, request: Request) -> Path:
        """Leave a request for the daemon; it was done once the returned file is gone.

        Raises
        ------
        OSError
            There is no such folder, or it cannot be written to.
        """
        path = self._folder / f"{time.time_ns()}-{uuid.uuid4().hex}.json"
        write_durably(path, dumps(asdict(request)).encode())
        return path

    def pending(self) -> Iterator[tuple[Path, Request]]:
        """What was asked and is not answered, in order; what is no request is set aside."""
        for path in sorted(self._folder.glob("[!.]*.json")):
            try:
                yield path, TypeAdapter(Request).validate_json(path.read_bytes())
            except (OSError, ValidationError) as error:
                logger.error(  # noqa: TRY400 - the kind says it all
                    "requests: %s is none (%s); it is set aside", path.name, type(error).__name__
                )
                path.replace(path.with_suffix(".refused"))

    def answer(self, path: Path) -> None:
        """Say that a request was dealt with."""
        path.unlink(missing_ok=True)
        sync_folder(self._folder)
