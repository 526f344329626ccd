"""The configuration: TOML, then ``.env``, then the environment, then the command line.

Every stage declares its own settings; this module only fills them. Unknown keys are errors.
"""

import dataclasses
import difflib
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, get_args, get_type_hints

from annotated_types import Ge, Gt
from dotenv import dotenv_values
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from listener.settings import GroupingSettings, ReceiverSettings, TlsSettings
from processor.cluster.settings import ClusterTls, ProcessingSettings
from processor.settings import (
    DEFAULT_THRESHOLDS,
    DeidentifySettings,
    ProcessorSettings,
    QcSettings,
    QcThresholds,
)
from query.settings import PacsSettings
from rules.window import Window
from safelight.errors import ConfigError
from safelight.log_lines import LoggingSettings
from safelight.notify_settings import (
    NotifySettings,
    SmtpSettings,
    anchored_notify,
    anchored_smtp,
    require_deliverable,
)
from safelight.secret_values import anchored_secret
from web_status.node_settings import NodeSettings
from web_status.settings import AuditSettings, WebSettings

Table = dict[str, Any]

SYSTEM_FILE = Path("/etc/safelight/safelight.toml")
LOCAL_FILE = Path("safelight.toml")


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


@dataclass(frozen=True)
class Config:
    """The whole configuration; each attribute is one table."""

    dicom: ReceiverSettings = field(default_factory=ReceiverSettings)
    pacs: tuple[PacsSettings, ...] = ()
    series: GroupingSettings = field(default_factory=GroupingSettings)
    storage: StorageSettings = field(default_factory=StorageSettings)
    ledger: LedgerSettings = field(default_factory=LedgerSettings)
    rules: RulesSettings = field(default_factory=RulesSettings)
    retrieve: RetrieveSettings = field(default_factory=RetrieveSettings)
    forward: ForwardSettings = field(default_factory=ForwardSettings)
    processing: ProcessingSettings = field(default_factory=ProcessingSettings)
    output: OutputSettings = field(default_factory=OutputSettings)
    deidentify: DeidentifySettings = field(default_factory=DeidentifySettings)
    qc: Mapping[str, QcThresholds] = field(default_factory=lambda: dict(DEFAULT_THRESHOLDS))
    notify: tuple[NotifySettings, ...] = ()
    smtp: SmtpSettings = field(default_factory=SmtpSettings)
    web: WebSettings = field(default_factory=WebSettings)
    nodes: tuple[NodeSettings, ...] = ()
    logging: LoggingSettings = field(default_factory=LoggingSettings)
    audit: AuditSettings = field(default_factory=AuditSettings)

    @property
    def processor(self) -> ProcessorSettings:
        """The settings that travel with every job."""
        return ProcessorSettings(
            qc=QcSettings(self.qc),
            preview_size=self.output.preview_pixels,
            templates=self.output.templates,
            mr_clean=self.output.mr_clean,
            deidentify=self.deidentify,
        )

    def pacs_named(self, name: str | None) -> PacsSettings:
        """The PACS called `name`, or the only or first one.

        Raises
        ------
        ConfigError
            There is none.
        """
        for pacs in self.pacs:
            if name in (None, pacs.name):
                return pacs
        known = ", ".join(pacs.name for pacs in self.pacs) or "none"
        wanted = f"no [[pacs]] is named {name!r}" if name else "no [[pacs]] is configured"
        raise ConfigError(f"configuration: {wanted}; known: {known}")


# The names the environment and .env may use, from the client that Safelight replaces.
SEED_NAMES: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        "PACS_IP": ("pacs", "host"),
        "PACS_PORT": ("pacs", "port"),
        "CALLED_AET": ("pacs", "ae_title"),
        "CALLING_AET": ("dicom", "ae_title"),
        "CALLING_PORT": ("dicom", "port"),
    }
)
_QC_NAME = re.compile(r"QC_([A-Z]+)_([A-Z_]+)")


def find_file(given: Path | None) -> Path | None:
    """The configuration file: the given one, ``safelight.toml`` here, or the system's."""
    if given is not None:
        return given
    return next((path for path in (LOCAL_FILE, SYSTEM_FILE) if path.is_file()), None)


def load_config(
    file: Path | None,
    environ: Mapping[str, str],
    options: Mapping[tuple[str, str], object] = MappingProxyType({}),
) -> Config:
    """Read the configuration.

    Parameters
    ----------
    file
        The TOML file; None for the embedded defaults.
    environ
        The environment; it outranks ``.env``, which lies beside `file` or in this folder.
    options
        (table, key) to value, from the command line; they outrank everything.

    Raises
    ------
    ConfigError
        Names table and key, and what was expected there.
    """
    folder = file.absolute().parent if file else Path.cwd()
    table = _read(file) if file else {}
    _overlay_environment(table, {**_dotenv(folder / ".env"), **environ})
    for (section, key), value in options.items():
        table.setdefault(section, {})[key] = value
    _reject_unknown(Config, table, ())
    _fill_qc(table)
    config = _validate(table)
    _check_windows(config)
    _check_names(config)
    _check_notify(config)
    _check_engine(config)
    return _anchored(config, folder)


def _read(file: Path) -> Table:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"configuration: {file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration: {file} is not TOML: {error}") from error


def _dotenv(path: Path) -> dict[str, str]:
    values = dotenv_values(path) if path.is_file() else {}
    return {name: value for name, value in values.items() if value is not None}


def _overlay_environment(table: Table, environ: Mapping[str, str]) -> None:
    for name, value in environ.items():
        if name in SEED_NAMES:
            section, key = SEED_NAMES[name]
            _target(table, section)[key] = value
        elif (match := _QC_NAME.fullmatch(name)) is not None:
            modality, key = match.groups()
            table.setdefault("qc", {}).setdefault(modality, {})[key.lower()] = value


def _target(table: Table, section: str) -> Table:
    """The table an environment name writes to; of the PACS, the first."""
    if section != "pacs":
        return table.setdefault(section, {})  # type: ignore[no-any-return]
    first = table.setdefault("pacs", [{}])
    first[0].setdefault("name", "main")
    return first[0]  # type: ignore[no-any-return]


def _reject_unknown(kind: type, value: object, path: tuple[str, ...]) -> None:
    """Raise for the first key of a table that its settings class does not have."""
    if isinstance(value, list):
        for item in value:
            _reject_unknown(kind, item, path)
        return
    if not isinstance(value, dict):
        return
    hints = get_type_hints(kind)
    for key, inner in value.items():
        if key not in hints:
            raise ConfigError(f"configuration: {_place(path, key)}: {_unknown(key, list(hints))}")
        for inner_kind, deeper in _tables_within(hints[key], inner):
            _reject_unknown(inner_kind, deeper, (*path, key))


def _tables_within(hint: Any, value: object) -> list[tuple[type, object]]:
    """The settings classes inside a type such as tuple[PacsSettings, ...], with their values."""
    if dataclasses.is_dataclass(hint):
        return [(hint, value)]  # type: ignore[list-item]
    inner = [kind for kind in get_args(hint) if dataclasses.is_dataclass(kind)]
    if inner and isinstance(value, dict):
        return [(kind, item) for kind in inner for item in value.values()]  # type: ignore[misc]
    return [(kind, value) for kind in inner]  # type: ignore[misc]


def _unknown(key: str, known: Sequence[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    hint = f" (did you mean {close[0]}?)" if close else f"; expected one of {', '.join(known)}"
    return f"unknown key{hint}"


def _fill_qc(table: Table) -> None:
    """Complete each ``[qc.X]`` with the thresholds that X has otherwise."""
    given = table.get("qc", {})
    shipped = {name: dataclasses.asdict(value) for name, value in DEFAULT_THRESHOLDS.items()}
    default = {**shipped["DEFAULT"], **given.get("DEFAULT", {})}
    for modality, values in given.items():
        given[modality] = {**shipped.get(modality, default), **values}


def _validate(table: Table) -> Config:
    try:
        return TypeAdapter(Config).validate_python(table)
    except ValidationError as error:
        raise ConfigError(f"configuration: {_described(error.errors()[0])}") from error


def _check_windows(config: Config) -> None:
    """Check what the query client, which knows no rules, cannot check itself."""
    for pacs in config.pacs:
        try:
            _ = pacs.window and Window.parse(pacs.window)
        except ValueError as error:
            raise ConfigError(f"configuration: [pacs] window: {error}") from error


def _check_names(config: Config) -> None:
    """Check that those of each kind can be told apart."""
    named: Mapping[str, Sequence[PacsSettings | NodeSettings]]
    named = {"pacs": config.pacs, "nodes": config.nodes}
    for table, given in named.items():
        names = [one.name for one in given]
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"configuration: [{table}] name: {name!r} is given twice")


def _check_notify(config: Config) -> None:
    try:
        require_deliverable(config.notify, config.smtp)
    except ValueError as error:
        raise ConfigError(f"configuration: {error}") from error


def _check_engine(config: Config) -> None:
    """Check that what the engine needs is installed: it is imported only where it is used."""
    if config.processing.engine == "dask" and find_spec("distributed") is None:
        raise ConfigError(
            "configuration: [processing] engine: dask is not installed; install it with:"
            f" {sys.executable} -m pip install 'safelight[dask]'"
        )


def _described(error: ErrorDetails) -> str:
    """One of pydantic's errors, by table and key."""
    names = [str(part) for part in error["loc"] if not isinstance(part, int)]
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "value_error":  # raised by the settings class; it begins with the key
        key, _, problem = message.partition(": ")
        return f"{_place(names, key)}: {problem}"
    if error["type"] in ("missing", "missing_argument"):
        return f"{_place(names[:-1], names[-1])}: missing"
    got = f"got {error['input']!r}"
    return f"{_place(names[:-1], names[-1])}: {message[0].lower()}{message[1:]}, {got}"


def _place(path: Sequence[str], key: str) -> str:
    return f"[{'.'.join(path)}] {key}" if path else f"[{key}]"


def _anchored(config: Config, folder: Path) -> Config:
    """The configuration with relative paths resolved against the folder of its file."""
    storage = dataclasses.replace(config.storage, data=folder / config.storage.data)
    ledger = dataclasses.replace(
        config.ledger, backup_folder=_under(folder, config.ledger.backup_folder)
    )
    rules = dataclasses.replace(config.rules, file=_under(folder, config.rules.file))
    output = dataclasses.replace(
        config.output,
        templates=_under(folder, config.output.templates),
        mr_clean=_under(folder, config.output.mr_clean),
    )
    deidentify = dataclasses.replace(
        config.deidentify, key_file=_key_file(config.deidentify.key_file, folder, storage.data)
    )
    fetch = dataclasses.replace(config.retrieve, rules=_under(folder, config.retrieve.rules))
    dicom = dataclasses.replace(config.dicom, tls=_anchored_tls(config.dicom.tls, folder))
    processing = dataclasses.replace(
        config.processing, tls=_anchored_cluster_tls(config.processing.tls, folder)
    )
    web = dataclasses.replace(
        config.web,
        certificate=_under(folder, config.web.certificate),
        private_key=_under(folder, config.web.private_key),
    )
    nodes = tuple(
        dataclasses.replace(
            node,
            token=anchored_secret(node.token, folder),
            authorities=_under(folder, node.authorities),
            data=_under(folder, node.data),
        )
        for node in config.nodes
    )
    return dataclasses.replace(
        config,
        dicom=dicom,
        storage=storage,
        ledger=ledger,
        rules=rules,
        output=output,
        deidentify=deidentify,
        processing=processing,
        retrieve=fetch,
        notify=tuple(anchored_notify(one, folder) for one in config.notify),
        smtp=anchored_smtp(config.smtp, folder),
        web=web,
        nodes=nodes,
        audit=_anchored_audit(config.audit, folder),
    )


def _key_file(given: Path, folder: Path, data: Path) -> Path:
    """The site key's file: that of the configuration, else one in the data folder."""
    return data / given if given == DeidentifySettings.key_file else folder / given


def _anchored_tls(tls: TlsSettings | None, folder: Path) -> TlsSettings | None:
    if tls is None:
        return None
    return dataclasses.replace(
        tls,
        certificate=folder / tls.certificate,
        private_key=folder / tls.private_key,
        authorities=_under(folder, tls.authorities),
    )


def _anchored_audit(audit: AuditSettings, folder: Path) -> AuditSettings:
    if audit.syslog is None:
        return audit
    syslog = dataclasses.replace(
        audit.syslog,
        authorities=_under(folder, audit.syslog.authorities),
        certificate=_under(folder, audit.syslog.certificate),
        private_key=_under(folder, audit.syslog.private_key),
    )
    return dataclasses.replace(audit, syslog=syslog)


def _anchored_cluster_tls(tls: ClusterTls | None, folder: Path) -> ClusterTls | None:
    if tls is None:
        return None
    return ClusterTls(folder / tls.authorities, folder / tls.certificate, folder / tls.private_key)


def _under(folder: Path, path: Path | None) -> Path | None:
    return None if path is None else folder / path
