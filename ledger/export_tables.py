"""The tables that an export has: columns that stay, whatever becomes of the ledger's own tables.

A column is only ever added, at the end. docs/export.md says what each is.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

Kind = Literal["str", "int", "float"]


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes
    ----------
    name
        Its heading; an element's keyword where it is one.
    kind
        What its values are.
    expression
        What it is made of, in SQL.
    tells_patient
        Whether it may tell whose it is: a name, an identifier, a date, what a person typed.
    """

    name: str
    kind: Kind
    expression: str
    tells_patient: bool = False


@dataclass(frozen=True)
class ExportTable:
    """One table.

    Attributes
    ----------
    source
        What it is read from, in SQL.
    order
        A key of `source`, so that no row has to wait for the last.
    at
        The time that ``--since`` is about.
    """

    source: str
    order: str
    at: str
    columns: tuple[Column, ...]

    def statement(self, *, since: bool, without_patients: bool) -> str:
        """The query; where `since`, it has one value to bind."""
        columns = self.chosen(without_patients=without_patients)
        chosen = ", ".join(f'{one.expression} AS "{one.name}"' for one in columns)
        where = f" WHERE {self.at} >= ?" if since else ""
        return f"SELECT {chosen} FROM {self.source}{where} ORDER BY {self.order}"

    def chosen(self, *, without_patients: bool) -> tuple[Column, ...]:
        """Its columns."""
        return tuple(one for one in self.columns if not (without_patients and one.tells_patient))


_PATIENT = "!"  # behind a column that may tell whose it is


def _columns(table: str, kind: Kind, names: str) -> tuple[Column, ...]:
    """Columns of a table, of one kind: ``name``, or ``name=column``; ``!`` says: of patients."""
    made = []
    for word in names.split():
        name, _, column = word.removesuffix(_PATIENT).partition("=")
        made.append(Column(name, kind, f"{table}.{column or name}", word.endswith(_PATIENT)))
    return tuple(made)


_OF_SERIES = "JOIN series ON series.id = {}.series_id JOIN studies ON studies.id = series.study_id"
_UIDS = (
    *_columns("studies", "str", "StudyInstanceUID"),
    *_columns("series", "str", "SeriesInstanceUID"),
)
_OF_JOB = f"JOIN jobs ON jobs.id = {{}}.job_id {_OF_SERIES.format('jobs')}"
_JOB_AT = "coalesce(jobs.ended_at, jobs.queued_at)"

EXPORTS: Mapping[str, ExportTable] = MappingProxyType(
    {
        "studies": ExportTable(
            "studies",
            "studies.id",
            "studies.first_seen_at",
            (
                *_columns("studies", "str", "StudyInstanceUID PatientID! PatientName!"),
                *_columns("studies", "str", "AccessionNumber! StudyDate! StudyDescription!"),
                *_columns("studies", "str", "first_seen_at"),
                *_columns("studies", "int", "is_arriving"),
                *_columns("studies", "str", "complete_grade complete_evidence workbook!"),
                Column(
                    "series", "int", "(SELECT count(*) FROM series WHERE study_id = studies.id)"
                ),
                Column(
                    "instances",
                    "int",
                    "(SELECT coalesce(sum(instances), 0) FROM series WHERE study_id = studies.id)",
                ),
            ),
        ),
        "series": ExportTable(
            "series JOIN studies ON studies.id = series.study_id",
            "series.id",
            "series.last_arrival_at",
            (
                *_UIDS,
                *_columns("studies", "str", "PatientID! AccessionNumber!"),
                *_columns("series", "str", "Modality"),
                *_columns("series", "int", "SeriesNumber"),
                *_columns("series", "str", "SeriesDescription! calling_ae called_ae state"),
                *_columns("series", "str", "outcome grade evidence"),
                *_columns("series", "int", "revision instances deleted bytes expected missing"),
                *_columns("series", "int", "header_findings"),
                *_columns("series", "str", "first_seen_at last_arrival_at closed_at"),
            ),
        ),
        "instances": ExportTable(
            f"instances {_OF_SERIES.format('instances')}"
            " LEFT JOIN deletions ON deletions.id = instances.deletion_id",
            "instances.id",
            "instances.received_at",
            (
                *_UIDS,
                *_columns("instances", "str", "SOPInstanceUID SOPClassUID TransferSyntaxUID"),
                *_columns("instances", "int", "InstanceNumber"),
                *_columns("instances", "int", "bytes revision"),
                *_columns("instances", "str", "sha256 association_id received_at"),
                *_columns("deletions", "str", "deleted_at=at"),
            ),
        ),
        "associations": ExportTable(
            "associations",
            "associations.rowid",
            "associations.began_at",
            (
                *_columns("associations", "str", "association_id receiver calling_ae called_ae"),
                *_columns("associations", "str", "address state began_at ended_at"),
                *_columns("associations", "int", "stored duplicates quarantined refused bytes"),
                *_columns("associations", "str", "reason"),
            ),
        ),
        "refusals": ExportTable(
            "refusals",
            "refusals.id",
            "refusals.at",
            _columns("refusals", "str", "at association_id calling_ae reason"),
        ),
        "quarantine": ExportTable(
            "quarantine",
            "quarantine.rowid",
            "quarantine.at",
            _columns("quarantine", "str", "at name SeriesInstanceUID reason"),
        ),
        "decisions": ExportTable(
            f"decisions {_OF_SERIES.format('decisions')}",
            "decisions.id",
            "decisions.decided_at",
            (
                *_UIDS,
                *_columns("decisions", "int", "revision put_off"),
                *_columns("decisions", "str", "outcome summary decided_at reasons!"),
            ),
        ),
        "jobs": ExportTable(
            f"jobs {_OF_SERIES.format('jobs')} LEFT JOIN deletions ON deletions.id"
            " = jobs.deletion_id",
            "jobs.id",
            _JOB_AT,
            (
                *_columns("jobs", "int", "job=id"),
                *_UIDS,
                *_columns("jobs", "int", "revision priority tries"),
                *_columns("jobs", "str", "rule state window error digest"),
                *_columns("jobs", "str", "queued_at started_at ended_at"),
                *_columns("jobs", "float", "seconds"),
                *_columns("jobs", "str", "folder! destination!"),
                *_columns("deletions", "str", "deleted_at=at"),
            ),
        ),
        "steps": ExportTable(
            f"steps {_OF_JOB.format('steps')}",
            "steps.id",
            _JOB_AT,
            (
                *_columns("steps", "int", "job=job_id"),
                *_UIDS,
                *_columns("steps", "str", "processor state summary details!"),
            ),
        ),
        "outputs": ExportTable(
            f"outputs {_OF_JOB.format('outputs')}",
            "outputs.id",
            _JOB_AT,
            (
                *_columns("outputs", "int", "job=job_id"),
                *_UIDS,
                *_columns("outputs", "str", "processor kind sha256 path!"),
                *_columns("outputs", "int", "bytes"),
            ),
        ),
        "history": ExportTable(
            f"history {_OF_SERIES.format('history')}",
            "history.id",
            "history.at",
            (*_UIDS, *_columns("history", "str", "at what")),
        ),
        "deletions": ExportTable(
            f"deletions {_OF_SERIES.format('deletions')}",
            "deletions.id",
            "deletions.at",
            (
                *_UIDS,
                *_columns("deletions", "str", "what rule at ended_at"),
                *_columns("deletions", "int", "count bytes"),
            ),
        ),
        "retrieve_lists": ExportTable(
            "retrieve_lists",
            "retrieve_lists.id",
            "retrieve_lists.asked_at",
            (
                *_columns("retrieve_lists", "int", "list=id"),
                *_columns("retrieve_lists", "str", "name! pacs method asked_at"),
                *_columns("retrieve_lists", "int", "priority tries"),
            ),
        ),
        "retrieves": ExportTable(
            "retrieve_items JOIN retrieve_lists ON retrieve_lists.id = retrieve_items.list_id",
            "retrieve_items.id",
            "retrieve_lists.asked_at",
            (
                *_columns("retrieve_items", "int", "retrieve=id list=list_id"),
                *_columns("retrieve_items", "str", "accession_number! pacs state reason"),
                *_columns("retrieve_items", "int", "tries studies"),
                *_columns("retrieve_items", "str", "started_at ended_at"),
            ),
        ),
        "retrieve_series": ExportTable(
            "retrieve_series JOIN retrieve_items ON retrieve_items.id = retrieve_series.item_id"
            " JOIN retrieve_lists ON retrieve_lists.id = retrieve_items.list_id",
            "retrieve_series.id",
            "retrieve_lists.asked_at",
            (
                *_columns("retrieve_series", "int", "retrieve=item_id"),
                *_columns("retrieve_series", "str", "StudyInstanceUID SeriesInstanceUID Modality"),
                *_columns("retrieve_series", "int", "SeriesNumber"),
                *_columns("retrieve_series", "str", "SeriesDescription! left_out! doubt missing"),
                *_columns("retrieve_series", "int", "expected received"),
            ),
        ),
        "rule_loads": ExportTable(
            "rule_loads",
            "rule_loads.id",
            "rule_loads.at",
            (
                *_columns("rule_loads", "str", "at"),
                *_columns("rule_loads", "int", "rules"),
                *_columns("rule_loads", "str", "problem"),
            ),
        ),
        "disk_stages": ExportTable(
            "disk_stages",
            "disk_stages.id",
            "disk_stages.at",
            (
                *_columns("disk_stages", "str", "at stage"),
                *_columns("disk_stages", "int", "free_bytes"),
            ),
        ),
    }
)
"""Name to table; an export of all has them in this order."""
