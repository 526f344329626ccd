"""The commands ``serve`` and ``config check``. Options are parsed in `safelight.cli`."""

from pathlib import Path

import click

from listener.errors import TlsUnusable
from listener.tls import client_context, server_context
from processor.errors import MrConfigError, TemplateError
from processor.mr_clean.config import load_config as load_mr_config
from processor.templates import check_templates
from rules.model import Rule
from safelight.config import Config
from safelight.daemon import Supervisor
from safelight.delivering import require_usable
from safelight.errors import ConfigError
from safelight.receivers import require_receivers
from safelight.rules_file import load_site_rules
from web_status.certificates import certificate_warning
from web_status.errors import NobodyMayLogIn
from web_status.serving import require_users, tls_context
from web_status.users import UsersFile

_NOBODY = "nobody may send yet: [[dicom.accept]] in the configuration says who may"

_PLAIN = (
    "the page is reached without HTTPS: passwords and names of patients can be read on the way;"
    " [web] certificate and private_key turn it on"
)


def serve(config: Config) -> None:
    """Run the daemon until it is told to stop."""
    rules = read_site(config)

    def announce() -> None:
        dicom = config.dicom
        click.echo(
            f"DICOM   {dicom.ae_title} @ {dicom.host}:{dicom.port}"
            f"     page {config.web.url}     data {config.storage.data}"
            f"     rules {len(rules)}"
        )
        if not dicom.accept:
            click.echo(_NOBODY)
        if config.web.is_public and not config.web.is_secure:
            click.echo(_PLAIN)

    Supervisor(config, announce).run()


def check(config: Config, file: Path | None) -> None:
    """Say where the configuration comes from and that it and the rules are good."""
    rules = read_site(config)
    click.echo(f"configuration: {file or 'embedded defaults'}")
    click.echo(f"DICOM          {config.dicom.ae_title} @ {config.dicom.host}:{config.dicom.port}")
    if config.dicom.tls is not None:
        click.echo(f"  TLS          port {config.dicom.tls.port}")
    for accept in config.dicom.accept:
        over = " over TLS" if accept.tls else ""
        networks = ", ".join(accept.addresses)
        may = ", ".join(accept.may)
        click.echo(f"  accepts      {accept.calling_ae} from {networks}{over}: {may}")
    if not config.dicom.accept:
        click.echo(f"  accepts      {_NOBODY}")
    for pacs in config.pacs:
        click.echo(f"PACS           {pacs.name}: {pacs.ae_title} @ {pacs.host}:{pacs.port}")
    for one in config.notify:
        told = f"by e-mail to {', '.join(one.email)}" if one.email else "by webhook"
        click.echo(f"notify         {one.name}: {told}; alarms: {', '.join(one.alarms) or 'none'}")
    click.echo(f"data           {config.storage.data}")
    click.echo(f"page           {config.web.url}: {_who_reads_the_page(config)}")
    if config.web.is_public and not config.web.is_secure:
        click.echo(f"               {_PLAIN}")
    if (warning := certificate_warning(config.web)) is not None:
        click.echo(f"               {warning}")
    click.echo(f"rules          {', '.join(rule.name for rule in rules) or 'none'}")
    click.echo("no errors found")


def _who_reads_the_page(config: Config) -> str:
    users = len(UsersFile(config.storage.data).all())
    return f"{users} may log in" if users else "everybody on this machine, without a login"


def _check_page(config: Config) -> None:
    try:
        require_users(config.web, config.storage.data)
        tls_context(config.web)
    except (NobodyMayLogIn, TlsUnusable) as error:
        raise ConfigError(f"configuration: [web] {error}") from error


def _check_audit(config: Config) -> None:
    syslog = config.audit.syslog
    try:
        if syslog is not None:
            client_context(syslog.authorities, syslog.certificate, syslog.private_key)
    except TlsUnusable as error:
        raise ConfigError(f"configuration: [audit.syslog] {error}") from error


def read_site(config: Config) -> tuple[Rule, ...]:
    """The site's rules, once its certificates and metadata templates are known to be usable."""
    try:
        if config.dicom.tls is not None:
            server_context(config.dicom.tls)
    except TlsUnusable as error:
        raise ConfigError(f"configuration: [dicom.tls] {error}") from error
    _check_page(config)
    _check_audit(config)
    try:
        check_templates(config.output.templates)
    except TemplateError as error:
        raise ConfigError(f"configuration: [output] templates: {error}") from error
    try:
        load_mr_config(config.output.mr_clean)
    except MrConfigError as error:
        raise ConfigError(f"configuration: [output] mr_clean: {error}") from error
    require_usable(config.notify, config.smtp)
    rules = load_site_rules(config)
    require_receivers(rules, config)
    return rules
