"""Each series through each converter, and the verifier's judgement of what it left."""

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydicom import uid

from benchmarks.verify.cases import Case
from benchmarks.verify.contestants import CONTESTANTS, Contestant, Made
from processor.errors import PermanentError
from processor.headers import quiet_reading, text
from processor.intensity import rescale_of
from processor.judging import Judgement, judge, source_frames
from processor.source import SeriesSource
from processor.verify import Verification

Outcome = Literal["verified", "in part", "mismatch", "nothing", "unreadable"]
OUTCOMES = get_args(Outcome)


@dataclass(frozen=True)
class Result:
    """What became of a series with one converter.

    Attributes
    ----------
    outcome
        "in part": every plane is right, and a sidecar says which frames are left out; "nothing":
        no file was written; "unreadable": a file cannot be compared.
    said
        What differs, or why there is nothing.
    source
        `of_source`.
    """

    case: Case
    contestant: str
    outcome: Outcome
    said: str
    source: str = ""


_LOSSY = frozenset(
    {
        uid.JPEGBaseline8Bit,
        uid.JPEGExtended12Bit,
        uid.JPEGLSNearLossless,
        uid.JPEG2000,
        uid.HTJ2K,
    }
)


def of_source(case: Case) -> str:
    """What of the source's values is out of the ordinary and may explain a difference."""
    with quiet_reading():
        headers = [instance.header for instance in SeriesSource(case.files).instances]
    found = {text(header, "PhotometricInterpretation") for header in headers} - {"MONOCHROME2"}
    if any(header.file_meta.get("TransferSyntaxUID") in _LOSSY for header in headers):
        found.add("lossy")
    if len({rescale_of(header) for header in headers}) > 1:
        found.add("scales differ")
    return ", ".join(sorted(found))


def without_images(case: Case) -> str:
    """Why a series has nothing that a conversion could be compared with; "" where it has."""
    with quiet_reading():
        try:
            for frame in source_frames(SeriesSource(case.files)).frames:
                frame.stored()
        except PermanentError as reason:
            return str(reason)
    return ""


def results(case: Case, folder: Path) -> Iterator[Result]:
    """The judgement of each converter's files; they are removed again."""
    for name, contestant in CONTESTANTS.items():
        place = folder / name
        place.mkdir(parents=True)
        yield _result(case, name, contestant, place)
        shutil.rmtree(folder)


def _result(case: Case, name: str, contestant: Contestant, folder: Path) -> Result:
    made = contestant(case.files, folder)
    if not made.files:
        return Result(case, name, "nothing", made.said or "no file")
    outcome, said = _judged(case, made)
    return Result(case, name, outcome, said, "" if outcome == "verified" else of_source(case))


def _judged(case: Case, made: Made) -> tuple[Outcome, str]:
    """The judgement of all files together, or of those that do best where they fail.

    dcm2niix writes a resampled copy beside some volumes: a user may take either.
    """
    together = _compared(case, made.files)
    if together.outcome == "verified" or len(made.files) == 1:
        return together.outcome, together.said
    originals = [file for file in made.files if not _RESAMPLED.search(file.name)]
    choices = [chosen for chosen in (originals, *([file] for file in made.files)) if chosen]
    best = max([together, *(_compared(case, chosen) for chosen in choices)], key=_Compared.rank)
    said = together.said if best is together else f"{best.said} in some of {len(made.files)} files"
    return best.outcome, said


@dataclass(frozen=True)
class _Compared:
    outcome: Outcome
    verification: Verification
    said: str

    def rank(self) -> tuple[int, int]:
        found = self.verification
        return found.matched, -found.unfilled - found.mixed - found.reordered


def _compared(case: Case, files: Sequence[Path]) -> _Compared:
    with quiet_reading():
        try:
            judgement = judge(SeriesSource(case.files), files)
        except PermanentError as reason:
            return _Compared("unreadable", Verification(0), str(reason))
    said = "; ".join([in_words(judgement.verification), *judgement.announced])
    return _Compared(_outcome(judgement), judgement.verification, said)


def _outcome(judgement: Judgement) -> Outcome:
    verification = judgement.verification
    if verification.ok:
        return "verified"
    said = any("left out" in finding for finding in judgement.announced)
    wrong = verification.unfilled or verification.mixed or verification.reordered
    right = verification.matched and not wrong
    return "in part" if said and right else "mismatch"


_RESAMPLED = re.compile("_(Eq|Tilt)(_|[.])")
_WORDS = {
    "value_different": "with other values or missing",
    "off_grid": "off the grid",
    "repeated": "repeated",
    "unfilled": "planes without a frame",
    "mixed": "volumes mixed",
    "reordered": "files with volumes in another order",
}


def in_words(verification: Verification) -> str:
    """The counts that matter: "3 of 8 frames match; 5 off the grid"."""
    differences = [
        f"{count} {words}"
        for kind, words in _WORDS.items()
        if (count := getattr(verification, kind))
    ]
    found = f"{verification.matched} of {verification.frames} frames match"
    return "; ".join([found, *differences])
