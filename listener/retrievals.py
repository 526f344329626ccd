"""What a PACS said that a study has, and how sending it to us went: evidence of completeness.

Whoever retrieves a study leaves one file of it in the spool, before it asks the PACS to send and
again at the end; the watcher reads it. A later retrieval of the study replaces it.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from listener.durable import write_durably

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ListedSeries:
    """What a PACS says about one series.

    Attributes
    ----------
    count
        NumberOfSeriesRelatedInstances; None where it gave none.
    sop_instance_uids
        Its instances, from an IMAGE level C-FIND; empty where it was not asked.
    """

    count: int | None = None
    sop_instance_uids: frozenset[str] = frozenset()

    @property
    def expected(self) -> int | None:
        """How many instances it has."""
        return len(self.sop_instance_uids) or self.count


@dataclass(frozen=True)
class Retrieval:
    """One retrieval of a study.

    Attributes
    ----------
    StudyInstanceUID
        The study.
    pacs
        The AE title of the PACS.
    series
        SeriesInstanceUID to what the PACS says of it, for every series that it was asked to send.
    ended
        Whether the PACS has given its final response.
    sent
        Instances that the PACS says it sent; None unless it says so of all of them (C-MOVE
        0x0000 with no failed sub-operation).
    """

    StudyInstanceUID: str
    pacs: str
    series: Mapping[str, ListedSeries]
    ended: bool = False
    sent: int | None = None


class Retrievals:
    """The retrievals noted in a spool.

    Parameters
    ----------
    root
        The spool's folder.
    """

    def __init__(self, root: Path) -> None:
        self._folder = root / "retrievals"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._read: dict[str, tuple[tuple[int, int], Retrieval | None]] = {}

    def note(self, retrieval: Retrieval) -> None:
        """Keep a retrieval durably.

        Raises
        ------
        OSError
            The spool cannot be written.
        """
        content = {
            **asdict(retrieval),
            "series": {
                uid: {"count": one.count, "sop_instance_uids": sorted(one.sop_instance_uids)}
                for uid, one in retrieval.series.items()
            },
        }
        write_durably(self._path(retrieval.StudyInstanceUID), json.dumps(content).encode())

    def of(self, study_uid: str) -> Retrieval | None:
        """The latest retrieval of a study; None where there was none, or its file is damaged."""
        path = self._path(study_uid)
        try:
            status = path.stat()
        except FileNotFoundError:
            self._read.pop(study_uid, None)
            return None
        version = (status.st_mtime_ns, status.st_ino)
        if self._read.get(study_uid, (None,))[0] != version:
            self._read[study_uid] = (version, _parsed(path))
        return self._read[study_uid][1]

    def forget(self, study_uid: str) -> None:
        """Keep nothing of a study in memory."""
        self._read.pop(study_uid, None)

    def _path(self, study_uid: str) -> Path:
        return self._folder / f"{study_uid}.json"


def _parsed(path: Path) -> Retrieval | None:
    try:
        content = json.loads(path.read_bytes())
        return Retrieval(
            str(content["StudyInstanceUID"]),
            str(content["pacs"]),
            {
                uid: ListedSeries(_number(one["count"]), frozenset(one["sop_instance_uids"]))
                for uid, one in content["series"].items()
            },
            ended=bool(content["ended"]),
            sent=_number(content["sent"]),
        )
    except (OSError, ValueError, TypeError, LookupError, AttributeError) as error:
        logger.warning("retrieval %s: not readable (%s)", path.stem, type(error).__name__)
        return None


def _number(value: object) -> int | None:
    if value is None or isinstance(value, int):
        return value
    raise ValueError
