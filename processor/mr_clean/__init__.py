"""MR normalisation: what each MR series is, in one vocabulary, with the evidence.

It looks at a table with one row a series, anyone's: no cell of it can make it fail. The rules are
in `mr_clean_config.json`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from processor.mr_clean import dynamics, features
from processor.mr_clean.config import MrConfig, load_config, parse_config
from processor.mr_clean.reading import Row, columns_read, number_of, text_of
from processor.mr_clean.sequence import Series, Verdict, classify, series_of

if TYPE_CHECKING:
    from pandas import DataFrame

R = TypeVar("R", bound=Row)

Cleaned = dict[str, str | float | bool | None]

_LAST_ECHO = 64  # of more, the number means something else
_SUFFIXED = ("T1_", "T2_", "PD_", "T2*")
_DIXON_FAMILIES = {"INPHASE": "T1_in_phase", "OUTPHASE": "T1_out_phase"}

COLUMNS = (
    *("sequenceClass", "sequenceFamily", "standardOrientation", "standardDimension"),
    *("obliquityDeg", "isFatSuppressed", "fatSuppressionMethod", "isContrastEnhanced"),
    *("hasMotionCorrection", "refinedImageType", "imageSubtype", "standardFieldStrength"),
    *("standardManufacturer", "cleanedModelName", "dynamicGroup", "dynamicPhase"),
    *("confidence", "ruleId", "runnerUp", "evidence"),
)
"""What is added to each row, in this order."""


@dataclass(frozen=True)
class _Judged:
    """A series without its dynamic, and as one of a dynamic's where it can be one."""

    cleaned: Cleaned
    member: dynamics.Member | None


def process_mri_dataframe(
    df: "DataFrame",
    cfg: Mapping[str, Any] | None = None,
    config_path: str | Path | None = None,
) -> "DataFrame":
    """Normalise a table of MR series.

    Parameters
    ----------
    df : DataFrame
        One row a series, with the columns of ``mr.json`` as far as there are any, by keyword or by
        name (``Series Description``). Rows of another `Modality` are left out; missing columns and
        values of any type are allowed.
    cfg : mapping, optional
        The rules, as in ``mr_clean_config.json``.
    config_path : path, optional
        A file of rules; without both those that ship with Safelight.

    Returns
    -------
    DataFrame
        The MR rows under their index, with `COLUMNS` added or replaced.

    Raises
    ------
    MrConfigError
        The rules are wrong; the rule is named.
    """
    import pandas as pd  # noqa: PLC0415 - half a second that the workers do not need

    config = parse_config(cfg) if cfg is not None else _config(config_path)
    read = columns_read(df.columns)
    columns = [df[name].astype(object).tolist() for name in read.values()]
    values = [dict(zip(read, row, strict=True)) for row in zip(*columns, strict=True)]
    values = values or [{} for _ in range(len(df))]
    kept = [place for place, row in enumerate(values) if is_mr(row)]
    studies = sorted(kept, key=lambda place: text_of(values[place], "StudyInstanceUID"))
    in_order = clean_rows((values[place] for place in studies), config)
    cleaned = {place: one for place, (_, one) in zip(studies, in_order, strict=True)}
    added = pd.DataFrame(
        [cleaned[place] for place in kept], columns=list(COLUMNS), index=df.index[kept]
    )
    others = [column for column in df.columns if column not in COLUMNS]
    return pd.concat([df.iloc[kept][others], added], axis=1)


def is_mr(row: Row) -> bool:
    """Whether a row is of an MR series; in a table without modalities each is taken to be."""
    return "Modality" not in row or text_of(row, "Modality").upper() == "MR"


def clean_rows(rows: Iterable[R], config: MrConfig | None = None) -> Iterator[tuple[R, Cleaned]]:
    """Normalise MR rows, one study in memory at a time.

    Parameters
    ----------
    rows : iterable of mapping
        Those of one study stand together.

    Yields
    ------
    row, cleaned
        Each row with its `COLUMNS`, in the order of the rows.
    """
    config = config or _config(None)
    for _, study in groupby(rows, key=lambda row: text_of(row, "StudyInstanceUID")):
        kept = list(study)
        yield from zip(kept, _clean_study(kept, config), strict=True)


def _config(path: str | Path | None) -> MrConfig:
    return load_config(None if path is None else Path(path))


def _clean_study(rows: Sequence[Row], config: MrConfig) -> list[Cleaned]:
    judged = [_judge(place, series_of(row), config) for place, row in enumerate(rows)]
    members = [one.member for one in judged if one.member is not None]
    phases = dynamics.phases_of(members, config)
    for place, phase in phases.items():
        cleaned = judged[place].cleaned
        cleaned["dynamicGroup"], cleaned["dynamicPhase"] = phase.group, phase.name
        if phase.is_enhanced is not None and phase.is_enhanced != cleaned["isContrastEnhanced"]:
            cleaned["isContrastEnhanced"] = phase.is_enhanced
            cleaned["evidence"] = f"{cleaned['evidence']}; contrast agent by dynamicPhase"
    return [one.cleaned for one in judged]


def _judge(place: int, series: Series, config: MrConfig) -> _Judged:
    verdict = classify(series, config)
    base = verdict.best.sequence_class
    part = features.part_of(series, config) if base.startswith(_SUFFIXED) else ""
    orientation = features.orientation_of(series)
    fat, method = features.fat_suppression_of(series, base, part, config)
    enhanced, doubt = features.contrast_of(series, config)
    refined, subtype = features.refined_image_type(series, base)
    cleaned: Cleaned = {
        "sequenceClass": base + _suffixes(series, base, part, config),
        "sequenceFamily": _family(base, part, config, is_fat_suppressed=fat),
        "standardOrientation": orientation.name,
        "standardDimension": features.dimension_of(series),
        "obliquityDeg": orientation.obliquity,
        "isFatSuppressed": fat,
        "fatSuppressionMethod": method,
        "isContrastEnhanced": enhanced,
        "hasMotionCorrection": features.has_motion_correction(series, config),
        "refinedImageType": refined,
        "imageSubtype": subtype,
        "standardFieldStrength": features.field_strength_of(series),
        "standardManufacturer": features.manufacturer_of(series, config),
        "cleanedModelName": features.model_of(series),
        "dynamicGroup": "",
        "dynamicPhase": "",
        **_evidence(verdict, doubt),
    }
    if not dynamics.is_source(series, base, config):
        return _Judged(cleaned, None)
    told = (base, orientation.name, part, fat, text_of(series.row, "EchoNumbers"))
    return _Judged(cleaned, dynamics.member_of(place, series, config, told, is_enhanced=enhanced))


def _suffixes(series: Series, base: str, part: str, config: MrConfig) -> str:
    """What follows the class: the Dixon image, a later echo, a sequence against motion."""
    if not base.startswith(_SUFFIXED) or base.endswith("_MAP"):
        return ""
    echo = number_of(series.row, "EchoNumbers")
    found = [part] if part else []
    found += [f"ECHO{int(echo)}"] if echo is not None and 1 < echo <= _LAST_ECHO else []
    found += ["MC"] if features.acquires_blades(series, config) else []
    return "".join(f"_{suffix}" for suffix in found)


def _family(base: str, part: str, config: MrConfig, *, is_fat_suppressed: bool) -> str:
    if base.startswith("T1_") and part in _DIXON_FAMILIES:
        return _DIXON_FAMILIES[part]
    family = str(config.classification.families[base])  # type: ignore[index]
    suppressed = is_fat_suppressed and family in ("T1_anatomic", "T2_anatomic")
    return family.replace("anatomic", "fat_suppressed") if suppressed else family


def _evidence(verdict: Verdict, doubt: str) -> Cleaned:
    best, next_one = verdict.best, verdict.runner_up
    contradicted = next_one is not None and next_one.rule.startswith("P-")
    confidence = best.confidence - (0.2 if contradicted else 0.0)
    return {
        "confidence": round(max(confidence, 0.0), 2),
        "ruleId": best.rule,
        "runnerUp": next_one.sequence_class if next_one else "",
        "evidence": "; ".join(filter(None, (best.evidence, doubt))),
    }
