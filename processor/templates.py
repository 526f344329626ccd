"""Metadata templates: JSON lists of elements, shipped in dicom_tags/ and overridden by a site.

A template is a list of entries, or an object with `include` (another template whose entries come
first) and `entries`. An entry is a keyword, a tag "(gggg,eeee)", or an object with `keyword`,
`column`, `level` and `agg`. Reading values is `processor.metadata`'s business.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydicom.datadict import keyword_dict, tag_for_keyword

from processor.errors import TemplateError

Level = Literal["series", "instance"]
Aggregate = Literal["first", "distinct", "min_max", "count"]

SHIPPED = Path(__file__).parent / "dicom_tags"
COMPUTED = frozenset({"b_value"})
_FILE_OF = (
    ("MR", "mr"),
    ("CT", "ct"),
    ("DX", "dx"),
    ("DR", "dx"),
    ("CR", "dx"),
    ("MG", "mg"),
)
_PRIVATE = re.compile(r"\(([0-9A-Fa-f]{4}),([0-9A-Fa-f]{4})\)")
_KEYS = frozenset({"keyword", "column", "level", "agg"})


@dataclass(frozen=True)
class Entry:
    """One column of a workbook.

    Attributes
    ----------
    key : int or str
        The element's tag, or the name of a computed value.
    level : {"series", "instance"}
        "instance" makes the workbook hold one row for each instance.
    agg : {"first", "distinct", "min_max", "count"}
        How the values of a series become one.
    """

    key: int | str
    column: str
    level: Level = "series"
    agg: Aggregate = "first"


def template_for(modality: str, override: Path | None = None) -> tuple[Entry, ...]:
    """The entries for a modality; one without a template of its own has the common block.

    Parameters
    ----------
    override : Path or None
        A site's folder; a file found there takes the place of the one shipped.

    Raises
    ------
    TemplateError
        Naming the file and the entry.
    """
    name = dict(_FILE_OF).get(modality, "common")
    entries = _entries(name, override, ())
    if name == "mr" and not any(entry.column == "ImageType" for entry in entries):
        raise TemplateError("mr.json: ImageType is missing: the MR template must hold it")
    return tuple({entry.column: entry for entry in entries}.values())


def check_templates(override: Path | None) -> None:
    """Raise `TemplateError` if any template cannot be used."""
    for modality in ("MR", "CT", "DX", "MG", ""):
        template_for(modality, override)


def _entries(name: str, override: Path | None, including: tuple[str, ...]) -> list[Entry]:
    if name in including:
        raise TemplateError(
            f"{including[-1]}.json: include {name}: the templates include in a ring"
        )
    path = _path(name, override)
    content = _read(path)
    if isinstance(content, list):
        content = {"entries": content}
    if not isinstance(content, dict) or not isinstance(content.get("entries"), list):
        raise TemplateError(f'{path.name}: expected a list, or an object with "entries"')
    included = content.get("include")
    before = _entries(str(included), override, (*including, name)) if included else []
    return before + [parse_entry(path.name, item) for item in content["entries"]]


def _path(name: str, override: Path | None) -> Path:
    own = override / f"{name}.json" if override else None
    return own if own and own.exists() else SHIPPED / f"{name}.json"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise TemplateError(f"{path.name}: no such template") from None
    except json.JSONDecodeError as error:
        raise TemplateError(f"{path.name}: line {error.lineno}: {error.msg}") from None


def parse_entry(file: str, item: object) -> Entry:
    """One entry of a template file.

    >>> parse_entry("mr.json", "EchoTime").column
    'EchoTime'
    >>> parse_entry("mr.json", "EchoTimes")
    Traceback (most recent call last):
    processor.errors.TemplateError: mr.json: EchoTimes: no such keyword (did you mean EchoTime?)
    """
    given: Mapping[str, object] = item if isinstance(item, dict) else {"keyword": item}
    keyword = given.get("keyword")
    if not isinstance(keyword, str):
        raise TemplateError(f"{file}: {item!r}: expected a keyword or an object with one")
    unknown = set(given) - _KEYS
    if unknown:
        raise TemplateError(f"{file}: {keyword}: unknown key {min(unknown)}")
    return Entry(
        key=_key(file, keyword),
        column=str(given.get("column", keyword)),
        level=cast("Level", _one_of(file, keyword, given, "level", get_args(Level))),
        agg=cast("Aggregate", _one_of(file, keyword, given, "agg", get_args(Aggregate))),
    )


def _key(file: str, keyword: str) -> int | str:
    if keyword in COMPUTED:
        return keyword
    private = _PRIVATE.fullmatch(keyword)
    if private:
        return int(private[1] + private[2], 16)
    tag = tag_for_keyword(keyword)
    if tag is None:
        near = get_close_matches(keyword, keyword_dict, n=1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        raise TemplateError(f"{file}: {keyword}: no such keyword{hint}")
    return tag


def _one_of(
    file: str, keyword: str, given: Mapping[str, object], key: str, allowed: tuple[str, ...]
) -> str:
    value = given.get(key, allowed[0])
    if value not in allowed:
        raise TemplateError(f"{file}: {keyword}: {key} {value!r}: expected {' or '.join(allowed)}")
    return str(value)
