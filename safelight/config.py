"""The configuration: TOML, then ``.env``, then the environment, then the command line.

Every stage declares its own settings; this module only fills them. Unknown keys are errors.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from pydantic import TypeAdapter, ValidationError

from listener.settings import GroupingSettings, ReceiverSettings
from processor.cluster.settings import ProcessingSettings
from processor.settings import (
    DEFAULT_THRESHOLDS,
    DeidentifySettings,
    ProcessorSettings,
    QcSettings,
    QcThresholds,
)
from query.settings import PacsSettings
from rules.window import Window
from safelight.config_errors import described, reject_unknown
from safelight.config_paths import anchored
from safelight.config_sources import Table, read_sources
from safelight.errors import ConfigError
from safelight.log_lines import LoggingSettings
from safelight.notify_settings import NotifySettings, SmtpSettings, require_deliverable
from safelight.settings import (
    ForwardSettings,
    LedgerSettings,
    OutputSettings,
    RetrieveSettings,
    RulesSettings,
    StorageSettings,
)
from web_status.node_settings import NodeSettings
from web_status.settings import AuditSettings, WebSettings

SYSTEM_FILE = Path("/etc/safelight/safelight.toml")
LOCAL_FILE = Path("safelight.toml")


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
    table = read_sources(file, folder / ".env", environ)
    for (section, key), value in options.items():
        table.setdefault(section, {})[key] = value
    reject_unknown(Config, table)
    _fill_qc(table)
    config = _validate(table)
    _check_windows(config)
    _check_names(config)
    _check_notify(config)
    _check_engine(config)
    return anchored(_with_site_key(config), folder)


def _fill_qc(table: Table) -> None:
    """Complete each ``[qc.X]`` with the thresholds that X has otherwise."""
    given = table.get("qc", {})
    if not (isinstance(given, dict) and all(isinstance(each, dict) for each in given.values())):
        return  # which the validation will tell
    shipped = {name: dataclasses.asdict(value) for name, value in DEFAULT_THRESHOLDS.items()}
    default = {**shipped["DEFAULT"], **given.get("DEFAULT", {})}
    for modality, values in given.items():
        given[modality] = {**shipped.get(modality, default), **values}


def _validate(table: Table) -> Config:
    try:
        return TypeAdapter(Config).validate_python(table)
    except ValidationError as error:
        raise ConfigError(f"configuration: {described(error.errors()[0], Config)}") from error


def _check_windows(config: Config) -> None:
    """Check what the query client, which knows no rules, cannot check itself."""
    for pacs in config.pacs:
        try:
            _ = pacs.window and Window.parse(pacs.window)
        except ValueError as error:
            raise ConfigError(f"configuration: [pacs] window: {error}") from error


def _check_names(config: Config) -> None:
    """Check that those of each kind can be told apart."""
    named: Mapping[str, Sequence[PacsSettings | NotifySettings | NodeSettings]]
    named = {"pacs": config.pacs, "notify": config.notify, "nodes": config.nodes}
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


def _with_site_key(config: Config) -> Config:
    """The site key's file is in the data folder, unless it is said where."""
    deidentify = config.deidentify
    if deidentify.key_file != DeidentifySettings.key_file:
        return config
    key_file = config.storage.data / deidentify.key_file
    return dataclasses.replace(
        config, deidentify=dataclasses.replace(deidentify, key_file=key_file)
    )
