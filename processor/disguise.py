"""Under what names a job publishes: its own, or those that tell nothing where one de-identifies."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from pydicom.dataset import Dataset

from processor.deid.dataset import Deidentifier
from processor.deid.pseudonyms import Pseudonyms
from processor.deid.site_key import site_key
from processor.deidentify import NAME, UNREADABLE, deidentifier
from processor.errors import OptionError
from processor.model import JobRequest
from processor.names import named_by
from processor.source import HeaderSource
from rules.destination import parse_destination
from rules.model import Step

_FACTS = ("grade", "instances", "instances_expected")


def step_of(steps: Sequence[Step]) -> Step | None:
    """The step that de-identifies, None where there is none.

    Raises
    ------
    OptionError
        It is not the first: what runs before it would tell who the patient is.
    """
    names = [step.processor for step in steps]
    if NAME not in names:
        return None
    if names.index(NAME) or names.count(NAME) > 1 or steps[0].when:
        raise OptionError("deidentify: it must be the first step, and have no condition")
    return steps[0]


def disguised(request: JobRequest, header: Dataset) -> tuple[JobRequest, Dataset]:
    """A job under the names of what it publishes, with the header that its folder is named by.

    Parameters
    ----------
    header : Dataset
        That of the first instance.

    Returns
    -------
    JobRequest, Dataset
        As they are, unless a step de-identifies. Then key, study, series, digest and facts tell
        nothing, and a template in `destination` is filled in. The files stay the spool's.

    Raises
    ------
    SiteKeyError
        The site key cannot be used.
    """
    step = step_of(request.steps)
    if step is None:
        return request, header
    known = deidentifier(step.options, request.settings.deidentify)
    first = _first_header(request, known)
    wanted = request.destination and named_by(parse_destination(request.destination), first)
    uid: Callable[[str], str] = str if "uids" in known.options else known.pseudonyms.uid
    changed = replace(
        request,
        key=known.pseudonyms.secret("job", request.key),
        study_uid=uid(request.study_uid),
        series_uid=uid(request.series_uid),
        digest=known.pseudonyms.secret("digest", request.digest),
        facts={name: request.facts[name] for name in _FACTS if name in request.facts},
        destination=wanted,
    )
    return changed, first


def _first_header(request: JobRequest, known: Deidentifier) -> Dataset:
    """The first header without identity; an empty one where the step will refuse the series."""
    header = HeaderSource(request.files).first_header()
    try:
        if len(header):
            known.apply(header)
    except UNREADABLE:
        return Dataset()
    return header


def published_keys(key: str, key_file: Path) -> tuple[str, ...]:
    """The keys that the manifest of a job may have: its own, and that of what is de-identified.

    As it is, a key would tell of which series the outputs are to whoever guesses that.

    Raises
    ------
    SiteKeyError
        The site key cannot be used.
    """
    if not key_file.exists():
        return (key,)
    return key, Pseudonyms(site_key(key_file)).secret("job", key)
