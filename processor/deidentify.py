"""The deidentify processor: a new set of instances without identity, for all steps after it.

The instances of the spool are read and left as they are.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.errors import BytesLengthException
from pydicom.uid import PYDICOM_IMPLEMENTATION_UID, RawDataStorage

from listener.identity import PARSE_ERRORS
from processor import options
from processor.deid.checking import remains, traces_of
from processor.deid.dataset import Deidentifier
from processor.deid.pixels import mask_for, may_be_burned_in, paint_over
from processor.deid.private import safe_private
from processor.deid.pseudonyms import Pseudonyms
from processor.deid.site_key import site_key
from processor.deid.wording import safe_words
from processor.errors import IdentityRemains, NotDeidentified
from processor.headers import sop_class_name, text
from processor.model import JobContext, StepResult
from processor.publish import output_of
from processor.settings import DeidentifySettings
from processor.source import Finding, HeaderSource, read_instance

NAME = "deidentify"
OPTIONS = (
    options.choice("dates", "removed", ("removed", "shifted", "kept")),
    options.choice("uids", "mapped", ("mapped", "kept")),
    options.choice("descriptors", "removed", ("removed", "cleaned")),
    options.choice("patient", "removed", ("removed", "kept")),
    options.choice("device", "removed", ("removed", "kept")),
    options.choice("institution", "removed", ("removed", "kept")),
    options.choice("private", "removed", ("removed", "safe")),
    options.choice("pixels", "checked", ("checked", "declared", "kept")),
)
_BASIC = frozenset({"removed", "mapped"})
UNREADABLE = (*PARSE_ERRORS, BytesLengthException)
"""What pydicom raises on elements that it cannot read or write."""

# Documents, and structured content, in which identity can stand anywhere.
_REFUSED_CLASSES = (
    ("1.2.840.10008.5.1.4.1.1.104.", "documents within instances cannot be cleaned"),
    ("1.2.840.10008.5.1.4.1.1.88.", "structured reports cannot be cleaned"),
    ("1.2.840.10008.5.1.4.1.1.9.", "waveforms and their annotations cannot be cleaned"),
)


@dataclass(frozen=True)
class Deidentify:
    """PS3.15 Annex E, basic profile, with the options a rule chooses; the steps after it see that.

    Options: `dates` ("removed", "shifted", "kept"), `uids` ("mapped", "kept"), `descriptors`
    ("removed", "cleaned"), `patient`, `device`, `institution` ("removed", "kept"), `private`
    ("removed", "safe") and `pixels` ("checked", "declared", "kept").
    """

    name: str = NAME
    version: str = "1"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError` for a wrong option."""
        options.check(self.name, OPTIONS, given)

    def run(self, job: JobContext) -> StepResult:
        """Write the instances without identity and search them for it; all of them or none."""
        try:
            done = deidentify_files(
                job.request.files,
                job.folder,
                job.options,
                job.request.settings.deidentify,
                job.progress,
            )
        except NotDeidentified as reason:
            return StepResult(NAME, "refused", f"not de-identified because: {reason}")
        except IdentityRemains as fault:
            return StepResult(NAME, "failed", f"not de-identified: {fault}")
        outputs = tuple(output_of(path, job.folder, "dicom") for path in done.files)
        details = {"instances": len(done.files), "masked": done.masked, "options": _told(job)}
        return StepResult(NAME, "done", _summary(done), details, outputs)


@dataclass(frozen=True)
class Deidentified:
    """What was written of a series, and in how many instances burned-in text was painted over."""

    files: tuple[Path, ...]
    masked: int
    study_uid: str
    series_uid: str


def deidentifier(given: Mapping[str, object], settings: DeidentifySettings) -> Deidentifier:
    """What options of a rule ask for, with a site's key and words.

    Raises
    ------
    SiteKeyError
        The site key cannot be used.
    """
    return Deidentifier(
        frozenset(_chosen(given)),
        Pseudonyms(site_key(settings.key_file), settings.uid_root),
        safe_words(settings.words),
        safe_private(settings.safe_private),
    )


def _chosen(given: Mapping[str, object]) -> list[str]:
    """The options beside the basic profile, as `processor.deid.dataset.CODES` names them."""
    values = {one.name: options.value_of(OPTIONS, given, one.name) for one in OPTIONS}
    chosen = [name for name, value in values.items() if value not in _BASIC and name != "dates"]
    if values["dates"] != "removed":
        chosen.append(f"dates_{values['dates']}")
    return [name for name in chosen if name != "pixels" or values["pixels"] != "kept"]


def deidentify_files(
    files: Sequence[Path],
    folder: Path,
    given: Mapping[str, object],
    settings: DeidentifySettings,
    progress: Callable[[float], None] = lambda _: None,
) -> Deidentified:
    """Write a series de-identified into a folder, each instance named by its new UID.

    Parameters
    ----------
    given : mapping
        Options as in a rule.

    Raises
    ------
    NotDeidentified
        One of them cannot be; what was written of others is to be removed.
    IdentityRemains
        A written file was read back and tells who the patient is; the same holds.
    SiteKeyError
        The site key cannot be used.
    """
    known = deidentifier(given, settings)
    pixels = str(options.value_of(OPTIONS, given, "pixels"))
    written: dict[Path, bool] = {}
    refused: Counter[str] = Counter()
    for number, file in enumerate(files, 1):
        try:
            path, masked = _write(file, folder, known, pixels, settings)
        except NotDeidentified as reason:
            refused[str(reason)] += 1
        except UNREADABLE as error:
            refused[f"an element cannot be read or written ({type(error).__name__})"] += 1
        else:
            written[path] = masked
        progress(number / len(files))
    if refused:
        ((commonest, times),) = refused.most_common(1)
        raise NotDeidentified(f"{times} of {len(files)} instances: {commonest}")
    first = HeaderSource(tuple(written)).first_header()
    uids = text(first, "StudyInstanceUID"), text(first, "SeriesInstanceUID")
    return Deidentified(tuple(written), sum(written.values()), *uids)


def _write(
    file: Path, folder: Path, known: Deidentifier, pixels: str, settings: DeidentifySettings
) -> tuple[Path, bool]:
    """Write one instance and check it; tell where it is, and whether pixels were painted over."""
    header = _read(file)
    masked = pixels != "kept" and _clean_pixels(header, settings, declared=pixels == "declared")
    traces = traces_of(header, known.options)
    known.apply(header)
    header.file_meta = _meta_of(header)
    header.preamble = b"\0" * 128
    path = folder / f"{header.SOPInstanceUID}.dcm"
    header.save_as(path, enforce_file_format=True)
    left = remains(dcmread(path), traces)
    if left:
        path.unlink()
        raise IdentityRemains(f"what was written still tells who the patient is, in {left}")
    return path, masked


def _read(file: Path) -> Dataset:
    """The dataset of a file, if it is of a kind that can be cleaned."""
    found = read_instance(file)
    if isinstance(found, Finding):
        raise NotDeidentified(found.reason)
    header = found.header
    if found.is_cut_off:
        raise NotDeidentified("the file ends within an element")
    sop_class = text(header, "SOPClassUID")
    if not sop_class or not text(header, "SOPInstanceUID"):
        raise NotDeidentified("it has no SOP Class UID or no SOP Instance UID")
    if sop_class == RawDataStorage:
        raise NotDeidentified("raw data cannot be cleaned")
    for begin, reason in _REFUSED_CLASSES:
        if sop_class.startswith(begin):
            raise NotDeidentified(f"{reason} ({sop_class_name(header)})")
    if "EncapsulatedDocument" in header:
        raise NotDeidentified("documents within instances cannot be cleaned")
    return header


def _clean_pixels(header: Dataset, settings: DeidentifySettings, *, declared: bool) -> bool:
    """Paint over what is burned in; whether anything was."""
    mask = mask_for(header, settings.mask)
    if mask is not None:
        paint_over(header, mask)
        return bool(mask.rectangles)
    reason = may_be_burned_in(header, declared=declared)
    if reason:
        raise NotDeidentified(f"{reason}, and no [[deidentify.mask]] says where")
    return False


def _meta_of(header: Dataset) -> FileMetaDataset:
    """File meta information that does not say who sent the instance."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = header.SOPClassUID
    meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    meta.TransferSyntaxUID = header.file_meta.TransferSyntaxUID
    meta.ImplementationClassUID = PYDICOM_IMPLEMENTATION_UID
    meta.ImplementationVersionName = "SAFELIGHT"
    return meta


def _told(job: JobContext) -> dict[str, object]:
    return {one.name: options.value_of(OPTIONS, job.options, one.name) for one in OPTIONS}


def _summary(done: Deidentified) -> str:
    count = len(done.files)
    parts = [f"{count} instance{'s' if count != 1 else ''} without identity, read back"]
    parts += [f"burned-in text painted over in {done.masked}"] if done.masked else []
    return ", ".join(parts)
