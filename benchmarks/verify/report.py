"""The results as tables, written between the markers of a document."""

import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.verify.contestants import CONTESTANTS
from benchmarks.verify.rounds import OUTCOMES, Result

BEGIN, END = "<!-- bench-verify: begin -->", "<!-- bench-verify: end -->"
_HEADINGS = {
    "verified": "verified",
    "in part": "in part, and says so",
    "mismatch": "does not match",
    "nothing": "nothing written",
    "unreadable": "not readable",
}


def write(
    document: Path, faults: Sequence[Result], scans: Sequence[Result], unjudged: Mapping[str, str]
) -> None:
    """Put the tables between the markers of a document; the rest stays as it is.

    Raises
    ------
    ValueError
        The document has no such markers.
    """
    text = document.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{document.name} lacks the markers {BEGIN} and {END}")
    lines = "\n".join(tables(faults, scans, unjudged))
    document.write_text(f"{before}{BEGIN}\n{lines}\n{END}{after}", encoding="utf-8")


def tables(
    faults: Sequence[Result], scans: Sequence[Result], unjudged: Mapping[str, str]
) -> Iterator[str]:
    """The tables, line by line."""
    programs = ", ".join(f"{name} {_version(name)}" for name in ("dcm2niix", "dicom2nifti"))
    yield f"{programs}; Python {platform.python_version()}."
    yield ""
    yield from _of_faults(faults)
    if scans:
        yield ""
        yield from _counts(scans)
        yield ""
        yield from _differences(scans)
    if unjudged:
        yield ""
        yield from _unjudged(unjudged)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _row(*cells: object) -> str:
    return f"| {' | '.join(str(cell).replace('|', '/') for cell in cells)} |"


def _head(*cells: str) -> Iterator[str]:
    yield _row(*cells)
    yield f"|{'---|' * len(cells)}"


def _of_faults(results: Sequence[Result]) -> Iterator[str]:
    yield from _head("fault", *CONTESTANTS)
    found: dict[str, dict[str, Result]] = {}
    for result in results:
        found.setdefault(result.case.group, {})[result.contestant] = result
    for fault, by_name in found.items():
        yield _row(fault, *(_told(by_name[name]) for name in CONTESTANTS))


def _told(result: Result) -> str:
    return f"**{_HEADINGS[result.outcome]}**: {result.said}"


def _counts(results: Sequence[Result]) -> Iterator[str]:
    total = len({result.case.name for result in results})
    yield f"Of {total} series of real scans:"
    yield ""
    yield from _head("", *(_HEADINGS[outcome] for outcome in OUTCOMES))
    for name in CONTESTANTS:
        counts = Counter(result.outcome for result in results if result.contestant == name)
        yield _row(name, *(counts[outcome] for outcome in OUTCOMES))


def _differences(results: Sequence[Result]) -> Iterator[str]:
    """Every series whose files do not match, and why ours were not made."""
    yield "Files that do not match, and what Safelight refused or left out:"
    yield ""
    yield from _head("series", "files", "source", "by", "found")
    for result in results:
        ours = result.contestant == "Safelight" and result.outcome != "verified"
        if ours or result.outcome in ("mismatch", "unreadable"):
            count = len(result.case.files)
            yield _row(result.case.name, count, result.source, result.contestant, _told(result))


def _unjudged(unjudged: Mapping[str, str]) -> Iterator[str]:
    """Why series could not be judged, however they were converted."""
    yield f"Of {len(unjudged)} further series Safelight cannot say what files should hold:"
    yield ""
    yield from _head("series", "because")
    for name, reason in unjudged.items():
        yield _row(name, reason)
