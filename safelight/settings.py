"""Settings of the wiring; `safelight.config` fills them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from annotated_types import Ge, Gt


@dataclass(frozen=True)
class StorageSettings:
    """The ``[storage]`` table.

    Attributes
    ----------
    data
        The folder of spool, ledger and results; relative to the configuration file.
    free_bytes_min
        Instances are refused with 0xA700 when less than this is free.
    free_bytes_process, free_bytes_retrieve, free_bytes_warn
        No job begins, no retrieve begins, and a person is told, when less than this is free.
    """

    data: Path = Path("safelight-data")
    free_bytes_min: Annotated[int, Ge(0)] = 1 << 28
    free_bytes_process: Annotated[int, Ge(0)] = 1 << 30
    free_bytes_retrieve: Annotated[int, Ge(0)] = 4 << 30
    free_bytes_warn: Annotated[int, Ge(0)] = 16 << 30

    @property
    def spool(self) -> Path:
        """Where instances are."""
        return self.data / "spool"

    @property
    def ledger(self) -> Path:
        """The SQLite file."""
        return self.data / "ledger.sqlite"

    @property
    def results(self) -> Path:
        """Where outputs are published."""
        return self.data / "results"

    @property
    def requests(self) -> Path:
        """Where commands leave what they ask of the daemon."""
        return self.data / "requests"

    @property
    def progress(self) -> Path:
        """Where retrieves tell how far they are."""
        return self.data / "progress"

    @property
    def forwarded(self) -> Path:
        """What each receiver has taken."""
        return self.data / "forwarded"

    @property
    def log(self) -> Path:
        """What each process logged last."""
        return self.data / "log"

    @property
    def backup_state(self) -> Path:
        """How the last backup went that the daemon made."""
        return self.data / "backup.json"

    @property
    def scratch(self) -> Path:
        """Where jobs work before they publish."""
        return self.data / "scratch"


@dataclass(frozen=True)
class LedgerSettings:
    """The ``[ledger]`` table.

    Attributes
    ----------
    backup_folder
        Where the daemon puts backups; relative to the configuration file. Without one it makes
        none.
    backup_hours
        From one backup to the next.
    backup_keep
        So many of the latest are kept.
    """

    backup_folder: Path | None = None
    backup_hours: Annotated[float, Gt(0)] = 24
    backup_keep: Annotated[int, Ge(1)] = 14


@dataclass(frozen=True)
class RulesSettings:
    """The ``[rules]`` table.

    Attributes
    ----------
    file
        The TOML file of rules, or a folder of them; relative to the configuration file.
        Without one, the rules that ship with Safelight are in force.
    """

    file: Path | None = None


@dataclass(frozen=True)
class RetrieveSettings:
    """The ``[retrieve]`` table.

    Attributes
    ----------
    rules
        The rules that leave series out before they are fetched, a file or a folder; relative to
        the configuration file. Without one, everything is fetched.
    tries
        How often an accession number is tried.
    retry_seconds
        Wait before the second try; each further one waits twice as long.
    """

    rules: Path | None = None
    tries: Annotated[int, Ge(1)] = 5
    retry_seconds: Annotated[float, Gt(0)] = 60


@dataclass(frozen=True)
class ForwardSettings:
    """The ``[forward]`` table.

    Attributes
    ----------
    tries
        How often the instances of a series are sent to a receiver that does not take them.
    retry_seconds
        Wait before the second try; each further one waits twice as long, an hour at most.
    """

    tries: Annotated[int, Ge(1)] = 20
    retry_seconds: Annotated[float, Gt(0)] = 60


@dataclass(frozen=True)
class OutputSettings:
    """The ``[output]`` table.

    Attributes
    ----------
    preview_pixels
        The longer side of a preview.
    templates
        A folder of metadata templates that replace those of the same name; relative to the
        configuration file.
    mr_clean
        A file of rules for MR normalisation in place of those shipped; relative to the
        configuration file.
    """

    preview_pixels: Annotated[int, Ge(64)] = 896
    templates: Path | None = None
    mr_clean: Path | None = None
