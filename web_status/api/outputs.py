"""Published files for programs, and looking through volumes."""

from typing import Annotated

from aiohttp import web
from pydantic import Field

from ledger.reader import LedgerReader
from ledger.rows import OutputRow, SeriesRow
from web_status.api.models import Answer, Asked
from web_status.api.operation import NUMBER, Files, Operation
from web_status.api.reading import ask, number_of
from web_status.api.series import Output
from web_status.downloads import output_file
from web_status.viewer import VALUE_MAX, slice_picture, volume_of


class VolumePlane(Answer):
    """A plane in which a volume can be looked at."""

    name: str
    """``axial``, ``coronal``, ``sagittal``; ``image`` for what has no place in the patient."""
    slices: int
    columns: int
    rows: int
    aspect: float
    """How tall a pixel is for its width."""
    letters: dict[str, str]
    """The patient's directions at the edges."""


class Volume(Answer):
    """What there is to see of a volume."""

    planes: tuple[VolumePlane, ...]
    phases: int
    colour: bool
    presets: tuple[tuple[str, float, float], ...]
    """Windows that are usual: name, centre, width."""


class SliceAsked(Asked):
    """How a slice is drawn."""

    phase: Annotated[int, Field(ge=0, lt=10**9)] = 0
    centre: Annotated[float, Field(gt=-VALUE_MAX, lt=VALUE_MAX)] | None = None
    """Of the window, in the values of the volume; without it one is chosen."""
    width: Annotated[float, Field(gt=0, lt=VALUE_MAX)] | None = None
    """Of the window; it comes with ``centre``."""
    invert: Annotated[int, Field(ge=0, le=1)] = 0
    """1 for white on black the other way round."""


async def get_output(request: web.Request) -> Output:
    """What a published file is."""
    number = number_of(request)

    def question(reader: LedgerReader) -> tuple[OutputRow, SeriesRow]:
        output = reader.output(number)
        return output, reader.one_series(reader.job(output.job_id).series_id)

    return Output.model_validate((await ask(request, question))[0])


async def download_output(request: web.Request) -> web.StreamResponse:
    """A published file.

    Who may not see names of patients gets volumes and pictures; anything else may name them.
    """
    return await output_file(request)


async def get_volume(request: web.Request) -> Volume:
    """The planes, phases and windows in which a volume can be looked at."""
    return Volume.model_validate(await volume_of(request))


async def draw_slice(request: web.Request, _asked: SliceAsked) -> web.StreamResponse:
    """One slice of a volume as a picture; the header X-Window tells centre and width."""
    return await slice_picture(request)


_ANY = Files(("application/gzip", "application/json", "image/png", "application/octet-stream"))

OPERATIONS = (
    Operation("GET", f"/outputs/{NUMBER}", get_output, Output),
    Operation("GET", f"/outputs/{NUMBER}/file", download_output, _ANY),
    Operation("GET", f"/outputs/{NUMBER}/volume", get_volume, Volume, refuses=(422,)),
    Operation(
        "GET",
        f"/outputs/{NUMBER}/slices/{{plane:[a-z]{{1,10}}}}/{{index:\\d{{1,9}}}}",
        draw_slice,
        Files(("image/jpeg",)),
        SliceAsked,
        refuses=(400,),
    ),
)
