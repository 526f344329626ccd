"""How far a retrieve is: its process writes it to a small file, whoever is curious reads it."""

import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:  # whoever only looks how far a retrieve is does without them
    from safelight.expecting import Listing
    from safelight.holdings import Held

_EVERY_SECONDS = 0.5
_SUFFIX = ".retrieve"


@dataclass(frozen=True)
class HowFar:
    """How far a retrieve is.

    Attributes
    ----------
    stage
        In words.
    expected
        Instances of its studies so far, as the PACS tells; 0 while that is not known.
    received
        How many of these are in the spool.
    """

    stage: str
    expected: int = 0
    received: int = 0


class Reporting:
    """Writes how far a retrieve is, twice a second, until it ends.

    Parameters
    ----------
    path
        The file; it is removed at the end.
    held
        Counts what is here.

    Attributes
    ----------
    stage
        In words; whoever retrieves sets it.
    """

    def __init__(self, path: Path, held: "Held") -> None:
        self.stage = "asking"
        self._path = path
        self._held = held
        self._listings: list[Listing] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def begin(self, listing: "Listing") -> None:
        """Count a study too."""
        self.stage = "receiving"
        self._listings = [*self._listings, listing]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()
        self._path.unlink(missing_ok=True)

    def _run(self) -> None:
        while True:
            with suppress(OSError):  # a full disk costs the progress, not the retrieve
                self._write()
            if self._over.wait(_EVERY_SECONDS):
                return

    def _write(self) -> None:
        wanted = [one for listing in self._listings for one in listing.so_far().wanted]
        expected = sum(one.listed.expected or 0 for one in wanted)
        received = sum(self._held.received(one) for one in wanted)
        temporary = self._path.with_suffix(".new")
        temporary.write_text(json.dumps(asdict(HowFar(self.stage, expected, received))))
        temporary.replace(self._path)


def progress_file(folder: Path, item: int) -> Path:
    """Where the progress of an item of a list is told."""
    return folder / f"{item}{_SUFFIX}"


def how_far(folder: Path) -> Mapping[int, HowFar]:
    """How far the items are that are being retrieved, by their number."""
    found: dict[int, HowFar] = {}
    for path in folder.glob(f"*{_SUFFIX}"):
        with suppress(OSError, ValueError, TypeError):  # it has just ended
            found[int(path.stem)] = HowFar(**json.loads(path.read_text()))
    return found
