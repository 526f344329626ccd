"""The command line. Each command reads the configuration, calls one stage and prints.

It is the last boundary: whatever goes wrong below becomes one line and an exit code.
0 all is well; 1 it did not work; 2 the configuration, a rule or the call is wrong.
What a command needs is imported when it is called, so that ``--help`` answers at once.
"""

import sys
from pathlib import Path
from typing import Any, cast

import click

from rules.errors import RuleError
from safelight.audit_commands import audit_group
from safelight.config import find_file
from safelight.deidentify_commands import deidentify
from safelight.doctor_commands import doctor
from safelight.errors import ConfigError, ListError, in_one_line
from safelight.export_commands import export
from safelight.folder_commands import (
    convert,
    metadata,
    mr_clean,
    package,
    report,
    verify_nifti,
)
from safelight.ledger_commands import ledger_group, verify
from safelight.node_commands import nodes
from safelight.notify_commands import notify
from safelight.options import config_option, configuration
from safelight.process_commands import process
from safelight.retrieve_commands import retrieve, retrieves
from safelight.send_commands import send
from safelight.user_commands import user
from safelight.version import __version__

# They read no DICOM, and importing what does would take them most of their time.
_WITHOUT_DICOM = frozenset({"jobs", "notify", "retrieve", "retrieves", "status"})


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="safelight")
@click.pass_context
def cli(context: click.Context) -> None:
    """A DICOM node: receives studies, decides by rules, converts, checks and catalogues them.

    Configuration: the file given with --config, else ./safelight.toml, else
    /etc/safelight/safelight.toml, else the embedded defaults.
    """
    if context.invoked_subcommand not in _WITHOUT_DICOM:
        from listener.part10 import silence_dicom_libraries

        silence_dicom_libraries()


def main() -> None:
    """Run the command line and exit with its code."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except Exception as error:  # noqa: BLE001 - the boundary of the command line
        click.echo(f"safelight: {in_one_line(error)}", err=True)
        sys.exit(2 if isinstance(error, ConfigError | ListError | RuleError) else 1)


@cli.command()
@config_option
@click.option("--data", type=click.Path(path_type=Path), help="Data folder.")
@click.option("--port", type=int, help="DICOM port.")
@click.option("--web", help="Where the page listens, HOST:PORT.")
@click.option(
    "--rules",
    type=click.Path(path_type=Path, exists=True),
    help="Rules to take in place of the site's: a TOML file or a folder of them.",
)
def serve(
    file: Path | None,
    data: Path | None,
    *,
    port: int | None,
    web: str | None,
    rules: Path | None,
) -> None:
    """Run the daemon: receive, group, decide, process, record and show."""
    config = configuration(
        file,
        storage_data=data and data.absolute(),
        dicom_port=port,
        web_listen=web,
        rules_file=rules and rules.absolute(),
    )
    from safelight.child import begin_log
    from safelight.commands import serve as run

    begin_log(config.logging)

    run(config)


@cli.command()
@config_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--limit", default=20, show_default=True, help="How many series.")
def status(file: Path | None, *, as_json: bool, limit: int) -> None:
    """Print what the page shows: the state of the node and its latest series."""
    from safelight.status import status as show

    show(configuration(file), limit=limit, as_json=as_json)


@cli.group(invoke_without_command=True)
@config_option
@click.option("--dead", is_flag=True, help="Only those that were given up.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option("--limit", default=50, show_default=True, help="How many jobs.")
@click.pass_context
def jobs(
    context: click.Context, file: Path | None, *, dead: bool, as_json: bool, limit: int
) -> None:
    """List the jobs that wait, run or were given up; send them again or cancel them."""
    from safelight.job_commands import list_jobs

    if context.invoked_subcommand is None:
        list_jobs(configuration(file), dead=dead, limit=limit, as_json=as_json)


@jobs.command("resend")
@config_option
@click.argument("job", type=int)
def jobs_resend(file: Path | None, job: int) -> None:
    """Queue the dead or cancelled JOB, by its number, again."""
    from safelight.job_commands import resend

    resend(configuration(file), job)


@jobs.command("cancel")
@config_option
@click.argument("job", type=int)
def jobs_cancel(file: Path | None, job: int) -> None:
    """Take the JOB of this number out of the queue; stop it if it runs."""
    from safelight.job_commands import cancel

    cancel(configuration(file), job)


@cli.command()
@config_option
@click.argument("processor", required=False)
def pause(file: Path | None, processor: str | None) -> None:
    """Let no further job begin, or none that runs PROCESSOR; reception goes on."""
    from safelight.job_commands import pause as run

    run(configuration(file), processor)


@cli.command()
@config_option
@click.argument("processor", required=False)
def resume(file: Path | None, processor: str | None) -> None:
    """End the pause of PROCESSOR, or of all that is paused."""
    from safelight.job_commands import resume as run

    run(configuration(file), processor)


@cli.group()
def config() -> None:
    """Check and show the configuration."""


@config.command("check")
@config_option
def config_check(file: Path | None) -> None:
    """Read configuration and rules, and say what is wrong with them, if anything is."""
    from safelight.commands import check

    check(configuration(file), find_file(file))


@cli.group()
def rules() -> None:
    """Check rules, explain what they say of a series, and try a draft on the past."""


_rules_option = click.option(
    "--rules",
    "path",
    type=click.Path(path_type=Path, exists=True),
    help="Rules to take in place of the site's: a TOML file or a folder of them.",
)


@rules.command("check")
@config_option
@_rules_option
def rules_check(file: Path | None, path: Path | None) -> None:
    """Read the rules, and say what each does or what is wrong."""
    from safelight.rule_commands import check

    check(configuration(file), path)


@rules.command("show")
@config_option
@_rules_option
def rules_show(file: Path | None, path: Path | None) -> None:
    """Print the rules as they are written: a beginning for your own."""
    from safelight.rule_commands import show

    show(configuration(file), path)


@rules.command("explain")
@config_option
@_rules_option
@click.argument("target", metavar="SERIES|FILE")
def rules_explain(file: Path | None, path: Path | None, target: str) -> None:
    """Say what every rule says of a series (its number or UID) or of a DICOM file, and why."""
    from safelight.rule_commands import explain

    explain(configuration(file), target, path)


@rules.command("replay")
@config_option
@click.option(
    "--rules",
    "path",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    help="The draft: a TOML file or a folder of them.",
)
@click.option("--since", default="30d", show_default=True, help="How far back: 12h, 30d, 2w.")
def rules_replay(file: Path | None, path: Path, since: str) -> None:
    """Say what draft rules would have changed, what they would have dropped first."""
    from safelight.rule_commands import replay

    replay(configuration(file), since, path)


@rules.command("reload")
@config_option
def rules_reload(file: Path | None) -> None:
    """Have the running daemon read its rules again; fail when it refuses them."""
    from safelight.reloading import reload

    reload(configuration(file))


@cli.command()
@config_option
@click.option("--pacs", help="Which [[pacs]], by name; the first without it.")
def echo(file: Path | None, pacs: str | None) -> None:
    """Ask a PACS whether it answers (C-ECHO)."""
    from safelight.pacs_commands import echo as run

    run(configuration(file), pacs)


@cli.command()
@config_option
@click.argument("accession", required=False)
@click.option("--patient", help="Patient ID.")
@click.option("--date", "study_date", metavar="DAY[-DAY]", help="Study date, 20260131 or a range.")
@click.option("--modality", help="A modality in the study, such as MR.")
@click.option("--description", help="Study description; * and ? are wildcards.")
@click.option("--name", help="Patient name; * and ? are wildcards.")
@click.option(
    "--level",
    type=click.Choice(["study", "series", "image"]),
    default="study",
    show_default=True,
    help="How far down to list.",
)
@click.option("--series", is_flag=True, help="The same as --level series.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--csv", type=click.Path(path_type=Path, dir_okay=False), help="Write a CSV file instead."
)
@click.option("--pacs", help="Which [[pacs]], by name; the first without it.")
def find(
    file: Path | None,
    *,
    pacs: str | None,
    level: Any,
    series: bool,
    as_json: bool,
    csv: Path | None,
    **asked: Any,
) -> None:
    """Find studies in a PACS (C-FIND), by ACCESSION number or the options."""
    from safelight.pacs_commands import Asked, Output
    from safelight.pacs_commands import find as run

    deepest: Any = "series" if series and level == "study" else level
    output = Output(as_json=as_json, csv=csv)
    run(configuration(file), cast("Asked", asked), pacs=pacs, level=deepest, output=output)


@cli.command()
@click.option("--dicom", type=click.Path(path_type=Path), help="Folder to send; else samples.")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    default="safelight-data",
    show_default=True,
    help="Data folder; one that an earlier demo made is begun anew.",
)
@click.option("--stay/--no-stay", default=True, help="Stay up until Ctrl-C.")
def demo(dicom: Path | None, data: Path, *, stay: bool) -> None:
    """Show the main job on real DICOM: start a daemon, send to it, and say what came of it."""
    from safelight.demo import run_demo

    sys.exit(run_demo(dicom, data, stay=stay))


for command in (convert, deidentify, metadata, mr_clean, package, report, verify_nifti):
    cli.add_command(command)
cli.add_command(doctor)
cli.add_command(export)
cli.add_command(verify)
cli.add_command(nodes)
cli.add_command(notify)
cli.add_command(process)
cli.add_command(retrieve)
cli.add_command(retrieves)
cli.add_command(send)
cli.add_command(ledger_group)
cli.add_command(audit_group)
cli.add_command(user)
