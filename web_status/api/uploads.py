"""Uploads for programs: they enter by the same door as what is sent."""

from aiohttp import web

from web_status.api.models import Answer
from web_status.api.operation import FORM, NUMBER, Operation
from web_status.api.reading import number_of
from web_status.context import CONTEXT
from web_status.uploads import take_files


class TakenIn(Answer):
    """What became of the files of an upload."""

    stored: int
    """Instances that are kept."""
    duplicates: int
    """Instances that were here already."""
    quarantined: int
    """Instances that were set aside."""
    refused: int
    """Files that are not here."""
    reasons: tuple[tuple[str, str], ...]
    """What the first of those are called, and why each is refused."""


class Upload(Answer):
    """Files that were given, and how far they are."""

    number: int
    """From 1 since the daemon started."""
    at: str
    by: str
    files: int
    bytes: int
    judged: int
    """Instances judged so far."""
    has_ended: bool
    taken: TakenIn | None
    """What became of them; null until all are judged."""
    problem: str
    """Why they were not judged to the end."""


class Uploads(Answer):
    """The latest uploads, the newest first."""

    items: tuple[Upload, ...]


async def list_uploads(request: web.Request) -> Uploads:
    """The latest twenty uploads since the daemon started."""
    kept = request.app[CONTEXT].kept.uploads
    return Uploads(items=tuple(map(Upload.model_validate, kept)))


async def get_upload(request: web.Request) -> Upload:
    """One of the latest uploads, and how far it is."""
    for upload in request.app[CONTEXT].kept.uploads:
        if upload.number == number_of(request):
            return Upload.model_validate(upload)
    raise web.HTTPNotFound


async def give_files(request: web.Request) -> Upload:
    """Give files, or ZIPs of them.

    The answer comes when they are here. They are judged after that: ask for the upload then.
    """
    return Upload.model_validate(await take_files(request))


OPERATIONS = (
    Operation("GET", "/uploads", list_uploads, Uploads),
    Operation("POST", "/uploads", give_files, Upload, FORM, status=202, refuses=(507,)),
    Operation("GET", f"/uploads/{NUMBER}", get_upload, Upload),
)
