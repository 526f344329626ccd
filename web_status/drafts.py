"""The drafts of rules: one for each person, in the data folder, so that a restart keeps them."""

import json
import logging
from dataclasses import asdict, dataclass
from pathlib import Path

from web_status.private_files import write_private

logger = logging.getLogger(__name__)

_NOBODY = "_"  # no user's name begins so


@dataclass(frozen=True)
class Draft:
    """Rules that are being written.

    Attributes
    ----------
    text
        The TOML.
    mark
        `Standing.mark` of the rules it was begun from.
    """

    text: str
    mark: str


class Drafts:
    """The drafts of a data folder."""

    def __init__(self, data: Path) -> None:
        self._folder = data / "rules" / "drafts"

    def read(self, user: str) -> Draft | None:
        """The draft of a user; None where there is none.

        Raises
        ------
        OSError
            It cannot be read.
        """
        try:
            return Draft(**json.loads(self._path(user).read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            logger.error("drafts: one is damaged (%s) and not shown", type(error).__name__)  # noqa: TRY400 - the kind says it all
            return None

    def write(self, user: str, draft: Draft) -> None:
        """Keep a draft in the place of the one before.

        Raises
        ------
        OSError
            It cannot be written.
        """
        self._folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        write_private(self._path(user), json.dumps(asdict(draft)).encode())

    def discard(self, user: str) -> None:
        """Forget the draft of a user."""
        self._path(user).unlink(missing_ok=True)

    def _path(self, user: str) -> Path:
        return self._folder / f"{user or _NOBODY}.json"
