"""The viewer: looking through published volumes in the browser."""

import asyncio
import math
from collections.abc import AsyncIterator
from dataclasses import asdict, dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from aiohttp import web

from ledger.errors import NoLedger, NotInLedger
from ledger.reader import LedgerReader
from ledger.rows import OutputRow, SeriesRow
from web_status.access import is_veiled, render
from web_status.context import CONTEXT
from web_status.downloads import file_below
from web_status.languages import msgid
from web_status.ledger_thread import LEDGER
from web_status.slices import Plane, Window, drawn, planes_of, slice_values, window_of
from web_status.veil import without_names
from web_status.volumes import OpenVolume, Volumes

VIEWABLE = ("nifti", "npz")
PRESETS = {
    "CT": (
        (msgid("soft tissue"), 40, 400),
        (msgid("lung"), -600, 1500),
        (msgid("bone"), 400, 1800),
        (msgid("brain"), 40, 80),
        (msgid("liver"), 60, 160),
    )
}
"""Modality to the windows that are offered: name, centre, width."""
VALUE_MAX = 1e9

_VOLUMES = web.AppKey("volumes", Volumes)
_PLANES = web.AppKey("planes", WeakKeyDictionary[OpenVolume, tuple[Plane, ...]])
"""Of the volumes that are open: to work them out takes longer than to draw a slice."""


@dataclass(frozen=True)
class SeenVolume:
    """What there is to see of a volume: its planes, how many phases, and windows to offer."""

    planes: tuple[Plane, ...]
    phases: int
    colour: bool
    presets: tuple[tuple[str, int, int], ...]


def add_viewer(app: web.Application) -> None:
    """Add the routes."""
    app.router.add_get(r"/outputs/{number:\d{1,18}}/viewer", _viewer)
    path = r"/outputs/{number:\d{1,18}}/slices/{plane:[a-z]{1,10}}/{index:\d{1,9}}"
    app.router.add_get(path, slice_picture)
    app.cleanup_ctx.append(_volumes_kept)


async def _volumes_kept(app: web.Application) -> AsyncIterator[None]:
    app[_VOLUMES] = Volumes(app[CONTEXT].data / "viewer")
    app[_PLANES] = WeakKeyDictionary()
    yield


async def _viewer(request: web.Request) -> web.Response:
    """The page; what it shows is asked for slice by slice."""
    output, row = await _found(request)
    seen = await _seen(request, output, row)
    shown = {**asdict(seen), "slices": f"/outputs/{output.id}/slices"}
    row = without_names(row) if is_veiled(request) else row
    title = {"title": msgid("Series %(number)s"), "number": row.id}
    values = {**title, "row": row, "volume": shown}
    return render("viewer.html", request, values)


async def volume_of(request: web.Request) -> SeenVolume:
    """What there is to see of a volume.

    Raises
    ------
    NotInLedger, NotViewable
        There is no such output, it is no volume, or it cannot be shown.
    """
    return await _seen(request, *await _found(request))


async def _seen(request: web.Request, output: OutputRow, row: SeriesRow) -> SeenVolume:
    volume = await _open(request, output)
    layout = volume.layout
    is_colour = layout.dtype.fields is not None
    presets = PRESETS.get(row.Modality, ())
    return SeenVolume(_planes(request, volume), layout.shape[3], is_colour, presets)


async def slice_picture(request: web.Request) -> web.Response:
    """One slice as JPEG; the headers tell in which window."""
    output, _ = await _found(request)
    volume = await _open(request, output)
    plane, index, phase = _place(request, volume)
    window, invert = _asked_window(request), request.query.get("invert") == "1"

    def draw() -> tuple[bytes, Window]:
        values = slice_values(volume, plane, index, phase)
        chosen = window or (Window(128, 256) if values.ndim > 2 else window_of(volume, values))
        return drawn(values, chosen, invert=invert), chosen

    body, used = await asyncio.to_thread(draw)
    headers = {
        "Content-Type": "image/jpeg",
        "X-Window": f"{used.centre:.6g} {used.width:.6g} {int(used.is_final)}",
    }
    return web.Response(body=body, headers=headers)


async def _found(request: web.Request) -> tuple[OutputRow, SeriesRow]:
    number = int(request.match_info["number"])

    def ask(reader: LedgerReader) -> tuple[OutputRow, SeriesRow]:
        output = reader.output(number)
        return output, reader.one_series(reader.job(output.job_id).series_id)

    try:
        output, row = await request.app[LEDGER].ask(ask)
    except NoLedger:
        raise NotInLedger(f"no output {number}") from None
    if output.kind not in VIEWABLE:
        raise NotInLedger(f"output {number} is no volume")
    return output, row


async def _open(request: web.Request, output: OutputRow) -> OpenVolume:
    def open_it() -> OpenVolume:
        path: Path = file_below(request.app[CONTEXT].results, output.path)
        return request.app[_VOLUMES].open(path)

    return await asyncio.to_thread(open_it)


def _place(request: web.Request, volume: OpenVolume) -> tuple[Plane, int, int]:
    """Plane, slice and phase; what the volume has not is not found."""
    name, index = request.match_info["plane"], int(request.match_info["index"])
    phase = request.query.get("phase", "0")
    if not (phase.isascii() and phase.isdecimal() and len(phase) <= 9):
        raise web.HTTPBadRequest
    for plane in _planes(request, volume):
        if plane.name == name and index < plane.slices and int(phase) < volume.layout.shape[3]:
            return plane, index, int(phase)
    raise web.HTTPNotFound


def _planes(request: web.Request, volume: OpenVolume) -> tuple[Plane, ...]:
    known = request.app[_PLANES]
    if volume not in known:
        known[volume] = planes_of(volume.layout)
    return known[volume]


def _asked_window(request: web.Request) -> Window | None:
    given = [request.query.get(name) for name in ("centre", "width")]
    if given == [None, None]:
        return None
    try:
        centre, width = (float(text or "") for text in given)
    except ValueError:
        raise web.HTTPBadRequest from None
    is_sane = math.isfinite(centre) and abs(centre) < VALUE_MAX and 0 < width < VALUE_MAX
    if not is_sane:
        raise web.HTTPBadRequest
    return Window(centre, width)
