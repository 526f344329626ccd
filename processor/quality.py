"""The qc processor: judges a series by its images and headers. It never edits pixels."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from processor import options
from processor.errors import PixelDataError
from processor.frames import Frame, frames_of
from processor.headers import text
from processor.measures import Measured
from processor.model import JobContext, StepResult
from processor.qc import NORMAL, ImageQuality, judge_image
from processor.series_checks import check_headers
from processor.series_measures import measure_series, positions_of
from processor.settings import QcThresholds

FULL_UP_TO = 200
SAMPLED_EITHER_SIDE = 3
_DEVIATION_DIFFERS = 0.5
_CUT_OFF = 0.15


@dataclass(frozen=True)
class Sampled:
    """One frame that was judged: where it is in the series, and the verdict."""

    index: int
    uid: str
    quality: ImageQuality


@dataclass(frozen=True)
class SeriesQuality:
    """The verdict on a series."""

    images: tuple[Sampled, ...]
    mode: str
    thresholds: QcThresholds = field(default_factory=QcThresholds)
    measured: Measured = field(default_factory=Measured)

    @property
    def low_ratio(self) -> float:
        """The share of judged images that are low."""
        low = sum(image.quality.low for image in self.images)
        return low / len(self.images) if self.images else 0.0

    @property
    def low(self) -> bool:
        """Whether the series is low quality."""
        return self.low_ratio > self.thresholds.series_low_quality_ratio

    @property
    def reasons(self) -> tuple[str, ...]:
        """The reasons that explain the verdict: those found in the same share of images."""
        counts = Counter(reason for image in self.images for reason in image.quality.reasons)
        enough = self.thresholds.series_low_quality_ratio * len(self.images)
        common = tuple(reason for reason, count in counts.most_common() if count > enough)
        return common or (tuple(reason for reason, _ in counts.most_common(1)) if self.low else ())


@dataclass(frozen=True)
class Qc:
    """Quality control of a series. It has no options; thresholds are the site's settings."""

    name: str = "qc"
    version: str = "3"

    def check_options(self, given: Mapping[str, object]) -> None:
        """Raise `OptionError`: qc has no options."""
        options.check(self.name, (), given)

    def run(self, job: JobContext) -> StepResult:
        """Judge the series; "not measurable" is a result."""
        header = check_headers(job.source, job.request.facts)
        if not job.source.instances:
            return StepResult("qc", "done", "Read error", _details(_unreadable(), header))
        modality = text(job.source.first_header(), "Modality")
        thresholds = job.request.settings.qc.thresholds_for(modality)
        quality = judge_series(job, thresholds)
        notes = [quality_words(quality), *_notes(quality, header), *_verification_notes(job)]
        return StepResult("qc", "done", "; ".join(notes), _details(quality, header))


def quality_words(quality: SeriesQuality) -> str:
    """The reasons joined by "; ", "Normal" when there is none."""
    return "; ".join(quality.reasons) or NORMAL


def judge_series(job: JobContext, thresholds: QcThresholds) -> SeriesQuality:
    """Judge every frame of a short series, seven in the middle of a long one."""
    frames = frames_of(job.source.instances)
    positions = positions_of(frames)
    indices = sampled_of(len(frames), positions)
    judged = []
    for done, index in enumerate(indices):
        frame = frames[index]
        judged.append(Sampled(index, frame.instance.uid, _judge(frame, thresholds)))
        job.progress((done + 1) / len(indices))
    mode = "full" if len(indices) == len(frames) else "sampled"
    return SeriesQuality(
        tuple(judged), mode, thresholds, measure_series(frames, indices, positions)
    )


def sampled_of(count: int, positions: Sequence[Sequence[int]]) -> list[int]:
    """The frames that are judged: of a long 4D series those of its middle volume."""
    if count <= FULL_UP_TO or len(positions) in (0, count):
        return sample_indices(count)
    volume = [moments[len(moments) // 2] for moments in positions]
    chosen = sample_indices(len(volume)) if len(volume) > FULL_UP_TO else _middle_of(len(volume))
    return [volume[at] for at in chosen]


def _middle_of(count: int) -> list[int]:
    middle = count // 2
    start, end = middle - SAMPLED_EITHER_SIDE, middle + SAMPLED_EITHER_SIDE + 1
    return list(range(max(0, start), min(count, end)))


def sample_indices(count: int) -> list[int]:
    """Which frames are judged: all up to 200, else the middle one and three on either side.

    >>> sample_indices(300)
    [147, 148, 149, 150, 151, 152, 153]
    """
    if count <= FULL_UP_TO:
        return list(range(count))
    return _middle_of(count)


def _judge(frame: Frame, thresholds: QcThresholds) -> ImageQuality:
    try:
        return judge_image(frame.header, frame.raw(), thresholds)
    except PixelDataError as error:
        return ImageQuality(("No pixel data" if error.absent else "Read error",))


def _unreadable() -> SeriesQuality:
    return SeriesQuality((Sampled(0, "", ImageQuality(("Read error",))),), "full")


def _details(quality: SeriesQuality, header: Mapping[str, object]) -> dict[str, object]:
    return {
        "low_quality": int(quality.low),
        "low_quality_reason": quality_words(quality),
        "low_quality_ratio": round(quality.low_ratio, 4),
        "qc_mode": quality.mode,
        "qc_sample_indices": [image.index for image in quality.images],
        "blank_images": sum("Blank image" in image.quality.reasons for image in quality.images),
        "measures": {
            name: float(f"{value:.5g}") for name, value in quality.measured.values.items()
        },
        "not_measurable": dict(quality.measured.not_measurable),
        "images": [_image_details(image) for image in quality.images],
        "header": dict(header),
    }


def _image_details(image: Sampled) -> dict[str, object]:
    measured = {name: round(value, 5) for name, value in image.quality.measured.items()}
    return {
        "uid": image.uid,
        "low": int(image.quality.low),
        "reason": image.quality.words,
        "measured": measured,
        "not_measurable": dict(image.quality.not_measurable),
    }


def _notes(quality: SeriesQuality, header: Mapping[str, object]) -> Sequence[str]:
    """What a person should know beside the verdict on the pixels."""
    counted = (
        ("missing_positions", "slice position(s) missing"),
        ("repeated_images", "image(s) of the same place and moment as another"),
        ("unreadable_files", "file(s) unreadable"),
    )
    notes = [f"{header[key]} {words}" for key, words in counted if header.get(key)]
    undecoded = sum("Read error" in image.quality.reasons for image in quality.images)
    if undecoded and "Read error" not in quality.reasons:
        notes.append(f"{undecoded} image(s) cannot be decoded")
    expected, received = header.get("instances_expected"), header["instances"]
    if isinstance(expected, int) and isinstance(received, int) and received < expected:
        notes.append(f"{received} of {expected} instances received")
    matrices = header["matrices"]
    if isinstance(matrices, list) and len(matrices) > 1:
        notes.append("mixed matrix")
    values = quality.measured.values
    computed, told = values.get("deviation_index_computed"), values.get("deviation_index")
    if computed is not None and told is not None and abs(computed - told) > _DEVIATION_DIFFERS:
        notes.append(f"DeviationIndex is {told:g}, its exposure indices make it {computed:.1f}")
    if values.get("edge_share", 0.0) > _CUT_OFF:
        notes.append("the body reaches the edge of the image")
    return notes


def _verification_notes(job: JobContext) -> Sequence[str]:
    """What the verifier found, where a conversion ran before and did not match its source."""
    convert = job.result_of("convert")
    verification = convert.details.get("verification") if convert is not None else None
    if not isinstance(verification, Mapping) or verification.get("ok", True):
        return ()
    return ("the conversion does not match its source",)
