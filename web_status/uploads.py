"""Files that people give on the page: they are taken off the wire here and judged by the daemon.

What comes goes to a folder of its own under names of ours, then through the same door as what is
sent by C-STORE. The names that people's files have are shown to who may upload, and logged never.
"""

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from email.message import Message
from functools import partial
from http import HTTPStatus
from pathlib import Path

from aiohttp import BodyPartReader, MultipartReader, hdrs, web

from listener.journal import now
from web_status.access import MULTIPART, TOKEN_FIELD, in_time, person_of, record
from web_status.context import CONTEXT, WebContext
from web_status.errors import ActionRefused, NoRoom
from web_status.node import Upload
from web_status.security import log_failure
from web_status.sessions import new_id
from web_status.taken import Given
from web_status.threads import in_own_thread

FILES_MAX = 200_000
_CHUNK_BYTES = 1 << 20
_SILENCE_SECONDS = 60.0
_LOOK_BYTES = 1 << 26  # after so many, the disk is looked at again
_NAME_MAX = 200
_UPLOADS_KEPT = 20


@dataclass
class _Intake:
    """What one request has brought so far."""

    folder: Path
    bytes_max: int
    given: list[Given] = field(default_factory=list)
    bytes: int = 0
    next_look: int = 0


def add_uploads(app: web.Application) -> None:
    """Add the route."""
    app.router.add_post("/uploads", _upload)
    app.cleanup_ctx.append(_uploads_kept)


_TURN = web.AppKey("turn", asyncio.Lock)
_TASKS = web.AppKey("uploads", set[asyncio.Task[None]])


async def _uploads_kept(app: web.Application) -> AsyncIterator[None]:
    """Begin and end without files that were given and not taken in: who gave them has them."""
    folder = _folder(app[CONTEXT])
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    app[_TURN], app[_TASKS] = asyncio.Lock(), set()
    yield
    for task in app[_TASKS]:
        task.cancel()
    await asyncio.gather(*app[_TASKS], return_exceptions=True)
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)


def _folder(context: WebContext) -> Path:
    return context.data / "uploads"


async def _upload(request: web.Request) -> web.Response:
    """Take the files of a form; the page shows what becomes of them."""
    await take_files(request)
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={"Location": "/uploads"})


async def take_files(request: web.Request) -> Upload:
    """Take the files of a form, and have them judged.

    Returns
    -------
    Upload
        It goes on changing until all are judged.

    Raises
    ------
    HTTPUnsupportedMediaType, HTTPRequestEntityTooLarge, HTTPBadRequest
        It is no form, is larger than is allowed, or is damaged.
    ActionRefused, NoRoom
        There is no file in it, or the disk has no room.
    """
    context = request.app[CONTEXT]
    if not request.content_type.startswith("multipart/"):
        raise web.HTTPUnsupportedMediaType
    async with in_time(_SILENCE_SECONDS):
        reader = request.get(MULTIPART) or await request.multipart()
    intake = _Intake(_folder(context) / new_id(), context.settings.upload_bytes_max)
    await asyncio.to_thread(partial(intake.folder.mkdir, mode=0o700, parents=True))
    try:
        await _receive(reader, intake, context)
    except BaseException:
        await asyncio.to_thread(shutil.rmtree, intake.folder, ignore_errors=True)
        raise
    upload = _kept(request, intake)
    task = asyncio.create_task(_take_in(request.app, intake, upload), name="upload")
    request.app[_TASKS].add(task)
    task.add_done_callback(request.app[_TASKS].discard)
    await record(request, "files uploaded", f"{len(intake.given)} files")
    return upload


def _kept(request: web.Request, intake: _Intake) -> Upload:
    """The upload, from now on among those that are shown."""
    uploads, person = request.app[CONTEXT].kept.uploads, person_of(request)
    number = uploads[0].number + 1 if uploads else 1
    by = person.name if person else ""
    uploads.insert(0, Upload(number, now(), by, len(intake.given), intake.bytes))
    del uploads[_UPLOADS_KEPT:]
    return uploads[0]


async def _receive(reader: MultipartReader, intake: _Intake, context: WebContext) -> None:
    while True:
        async with in_time(_SILENCE_SECONDS):
            part = await reader.next()
        if part is None and not intake.given:
            raise ActionRefused("no file was chosen")
        if part is None:
            return
        if not isinstance(part, BodyPartReader):
            raise web.HTTPBadRequest
        name = _file_name(part)
        if name and part.name != TOKEN_FIELD:
            await _receive_file(part, name, intake, context)


def _file_name(part: BodyPartReader) -> str:
    """What a file is called; aiohttp cannot tell where its name has two semicolons."""
    told = Message()
    told[hdrs.CONTENT_DISPOSITION] = part.headers.get(hdrs.CONTENT_DISPOSITION, "")
    return part.filename or str(told.get_filename(""))


async def _receive_file(
    part: BodyPartReader, name: str, intake: _Intake, context: WebContext
) -> None:
    if len(intake.given) >= FILES_MAX:
        raise web.HTTPRequestEntityTooLarge(FILES_MAX, FILES_MAX + 1)
    path = intake.folder / f"{len(intake.given):06d}"
    file = await asyncio.to_thread(path.open, "xb")
    try:
        while True:
            async with in_time(_SILENCE_SECONDS):
                chunk = await part.read_chunk(_CHUNK_BYTES)
            if not chunk:
                break
            intake.bytes += len(chunk)
            if intake.bytes > intake.bytes_max:
                raise web.HTTPRequestEntityTooLarge(intake.bytes_max, intake.bytes)
            await _require_room(intake, context)
            await asyncio.to_thread(file.write, chunk)
    finally:
        await asyncio.to_thread(file.close)
    intake.given.append(Given(path, name[:_NAME_MAX]))


async def _require_room(intake: _Intake, context: WebContext) -> None:
    """Raise `NoRoom` while the disk is below what must stay free."""
    if intake.bytes < intake.next_look:
        return
    intake.next_look = intake.bytes + _LOOK_BYTES
    room = await asyncio.to_thread(context.actions.upload_room)
    if room < _LOOK_BYTES:
        raise NoRoom


async def _take_in(app: web.Application, intake: _Intake, upload: Upload) -> None:
    """Have the files judged, one upload after the other."""
    actions = app[CONTEXT].actions
    try:
        async with app[_TURN]:
            taken = await in_own_thread(partial(actions.take_in, intake.given, upload.report))
        upload.end(taken, "")
    except ActionRefused as refusal:
        upload.end(None, str(refusal))
    except Exception as error:  # noqa: BLE001 - the boundary of this task
        log_failure(error, "upload not taken in")
        upload.end(None, "it could not be taken in; the log of the service says where it failed")
    finally:
        await asyncio.to_thread(shutil.rmtree, intake.folder, ignore_errors=True)
