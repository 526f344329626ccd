"""Downloads: published files, by their number in the ledger and only from below results."""

import asyncio
from pathlib import Path, PurePosixPath
from urllib.parse import quote

from aiohttp import web

from ledger.errors import NoLedger, NotInLedger
from ledger.reader import LedgerReader
from ledger.rows import StudyRow
from processor.archive import Member, archive_stream
from processor.errors import PackageError
from processor.report import REPORT_FILE, style_digest
from web_status.access import is_veiled, record
from web_status.context import CONTEXT
from web_status.errors import ActionRefused, FileGone, NamesHidden, OutsideResults
from web_status.ledger_thread import LEDGER
from web_status.veil import NAMELESS_KINDS, nameless

_TYPES = {
    ".gz": "application/gzip",
    ".json": "application/json",
    ".png": "image/png",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


def add_downloads(app: web.Application) -> None:
    """Add the routes of the downloads. Their addresses are numbers: names may tell of patients."""
    app.router.add_get(r"/outputs/{number:\d{1,18}}", output_file)
    app.router.add_get(r"/studies/{number:\d{1,18}}/workbook", workbook_file)
    app.router.add_get(r"/studies/{number:\d{1,18}}/report", report_file)
    app.router.add_get(r"/studies/{number:\d{1,18}}/package", package_file)


async def output_file(request: web.Request) -> web.StreamResponse:
    """A published file; under a neutral name where names of patients are hidden."""
    number = int(request.match_info["number"])
    try:
        output = await request.app[LEDGER].ask(lambda reader: reader.output(number))
    except NoLedger:
        raise NotInLedger(f"no output {number}") from None
    name = ""
    if is_veiled(request):
        if output.kind not in NAMELESS_KINDS:
            raise NamesHidden
        name = nameless(output)
    path = file_below(request.app[CONTEXT].results, output.path)
    if output.kind != "preview" and request.method == "GET":
        await record(request, "output downloaded", str(number))
    inline = output.kind == "preview" and path.suffix == ".png"
    return _file(path, inline=inline, name=name)


async def workbook_file(request: web.Request) -> web.StreamResponse:
    """The metadata workbook of a study."""
    path = await _workbook_path(request)
    if request.method == "GET":
        await record(request, "workbook downloaded", request.match_info["number"])
    return _file(path, inline=False)


async def report_file(request: web.Request) -> web.StreamResponse:
    """The report, which lies beside the workbook and is made with it, as a page."""
    path = (await _workbook_path(request)).with_name(REPORT_FILE)
    if not path.is_file():
        raise FileGone("a published file is missing")
    policy = f"default-src 'none'; img-src data:; style-src '{style_digest()}'; base-uri 'none'"
    headers = {
        "Content-Type": "text/html; charset=utf-8",
        "Content-Security-Policy": f"{policy}; form-action 'none'; frame-ancestors 'none'",
        "Cache-Control": "private, no-cache",
    }
    return web.FileResponse(path, headers=headers)


async def package_file(request: web.Request) -> web.StreamResponse:
    """All results of a study as one ZIP, made while it is sent: no disk needs room for it."""
    number = int(request.match_info["number"])
    context = request.app[CONTEXT]
    try:
        members, study = await request.app[LEDGER].ask(
            lambda reader: _members(reader, number, context.results)
        )
    except NoLedger:
        raise NotInLedger(f"no study {number}") from None
    headers = {
        "Content-Type": "application/zip",
        "Content-Disposition": f'attachment; filename="study-{number}.zip"',
        "Cache-Control": "private, no-store",
    }
    if request.method == "HEAD":  # nothing is made, and nobody has it
        return web.Response(headers=headers)
    pieces = archive_stream(members, context.settings.download_bytes_max)
    try:
        piece = await asyncio.to_thread(next, pieces, None)
    except PackageError as error:
        raise ActionRefused(f"{error}; `safelight package` makes larger ones") from error
    uid, patient = study.StudyInstanceUID, study.PatientID
    await record(request, "study downloaded", str(number), study=uid, patient=patient)
    response = web.StreamResponse(headers=headers)
    await response.prepare(request)
    while piece is not None:
        await response.write(piece)
        piece = await asyncio.to_thread(next, pieces, None)
    return response


def _members(reader: LedgerReader, number: int, results: Path) -> tuple[list[Member], StudyRow]:
    """The results of a study that count, with workbook and report, no packages; and the study."""
    study = reader.studies.one(number)
    paths = [
        output.path
        for row in study.series
        for job in reader.jobs_of(row.id)
        if job.state == "done" and job.revision == row.revision
        for output in job.outputs
        if output.kind != "package"
    ]
    workbook = study.series[0].workbook
    if workbook is not None:
        paths += [workbook, str(PurePosixPath(workbook).with_name(REPORT_FILE))]
    if not paths:
        raise ActionRefused("nothing is published of the study yet")
    return [Member(file_below(results, path), path) for path in dict.fromkeys(paths)], study


async def _workbook_path(request: web.Request) -> Path:
    number = int(request.match_info["number"])
    try:
        rows = await request.app[LEDGER].ask(lambda reader: reader.study_series(number))
    except NoLedger:
        raise NotInLedger(f"no study {number}") from None
    if rows[0].workbook is None:
        raise NotInLedger(f"study {number} has no workbook yet")
    return file_below(request.app[CONTEXT].results, rows[0].workbook)


def file_below(results: Path, relative: str) -> Path:
    """The file `relative` of the results folder.

    Raises
    ------
    OutsideResults
        The path or a symbolic link leads out of the folder.
    FileGone
        There is no such file.
    """
    path = (results / relative).resolve()
    if not path.is_relative_to(results.resolve()):
        raise OutsideResults("an output is not below the results folder")
    if not path.is_file():
        raise FileGone("a published file is missing")
    return path


def _file(path: Path, *, inline: bool, name: str = "") -> web.FileResponse:
    """The file as it is. A type that is not ours to know is bytes: never a page, never a script."""
    headers = {
        "Content-Type": _TYPES.get(path.suffix, "application/octet-stream"),
        "Cache-Control": "private, no-cache",
    }
    if not inline:
        headers["Content-Disposition"] = (
            f"attachment; filename*=UTF-8''{quote(name or path.name, safe='')}"
        )
    return web.FileResponse(path, headers=headers)
