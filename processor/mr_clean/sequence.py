"""What a series is: image type first, then its names, then b-values and its parameters.

The first stage that says something decides; the next that says something else is the runner-up.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from processor.mr_clean.config import Family, MrConfig, NameRule, Weight, met
from processor.mr_clean.reading import Row, number_of, numbers_of, parts_of, tesla_of, text_of
from processor.mr_clean.wording import name_of

SPECTROSCOPY = "1.2.840.10008.5.1.4.1.1.4.2"
_SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"
_COLUMNS = {
    "TR": "RepetitionTime",
    "TE": "EchoTime",
    "TI": "InversionTime",
    "FA": "FlipAngle",
    "ETL": "EchoTrainLength",
}
_TELLING = (*_COLUMNS.values(), "ImageType", "ScanningSequence", "Rows", "SOPClassUID")
_SPIN_ECHO = frozenset({"SE", "TSE", "SingleShot"})
_ACQUISITION_CONTRASTS: Mapping[str, str] = {
    "DIFFUSION": "DWI",
    "PERFUSION": "PWI",
    "FLOW_ENCODED": "MRA",
    "TOF": "MRA",
    "FLUID_ATTENUATED": "T2_FLAIR",
    "STIR": "T2_STIR",
}
_ACQUISITION_WEIGHTS: Mapping[str, Weight] = {
    "T1": "T1",
    "T2": "T2",
    "T2_STAR": "T2*",
    "PROTON_DENSITY": "PD",
}
_BY_FAMILY: Mapping[tuple[str, str], str] = {
    **{("T1", family): f"T1_{family}" for family in ("SE", "TSE", "GRE")},
    ("T1", "GRE_SPOILED"): "T1_GRE_SPOILED",
    ("T1", "GRE_STEADY_STATE"): "T1_GRE_STEADY_STATE",
    ("T1", "FLASH3D"): "T1_GRE_FLASH3D",
    ("T1", "SingleShot"): "T1_TSE",
    **{("T2", family): f"T2_{family}" for family in ("SE", "TSE")},
    ("T2", "SingleShot"): "T2_SE_SingleShot",
    **{("T2", family): "T2_GRE" for family in ("GRE", "GRE_SPOILED", "GRE_STEADY_STATE")},
    ("T2", "FLASH3D"): "T2_GRE",
    **{("PD", family): f"PD_{family}" for family in ("SE", "TSE")},
    ("PD", "SingleShot"): "PD_TSE",
    **{("PD", family): "PD_GRE" for family in ("GRE", "GRE_SPOILED", "GRE_STEADY_STATE")},
    ("PD", "FLASH3D"): "PD_GRE",
}


@dataclass(frozen=True)
class Series:
    """What the stages look at.

    Attributes
    ----------
    name : str
        As `wording.name_of`.
    image_type : tuple of str
        ImageType, ComplexImageComponent and FrameType, in capitals.
    parameters : mapping
        TR, TE, TI in milliseconds, FA in degrees, ETL; None where missing.
    """

    row: Row
    name: str
    image_type: tuple[str, ...]
    parameters: Mapping[str, float | None]
    scanning: frozenset[str]
    variant: frozenset[str]


@dataclass(frozen=True)
class Candidate:
    """A class that a stage found, how sure that is, by which rule and on what."""

    sequence_class: str
    rule: str
    confidence: float
    evidence: str


@dataclass(frozen=True)
class Verdict:
    """The class that was decided on, and the one that was next."""

    best: Candidate
    runner_up: Candidate | None
    family: Family | None


def series_of(row: Row) -> Series:
    """Read what the stages look at from a row."""
    types = (*parts_of(row, "ImageType"), *parts_of(row, "ComplexImageComponent"))
    types = (*types, *parts_of(row, "FrameType"))
    return Series(
        row,
        name_of(row),
        tuple(dict.fromkeys(part.upper() for part in types)),
        {name: number_of(row, column) for name, column in _COLUMNS.items()},
        frozenset(part.upper() for part in parts_of(row, "ScanningSequence")),
        frozenset(part.upper() for part in parts_of(row, "SequenceVariant")),
    )


def classify(series: Series, config: MrConfig) -> Verdict:
    """Decide what a series is; UNKNOWN where nothing says so."""
    family, by = family_of(series, config)
    best, runner_up = None, None
    for candidate in _candidates(series, config, family, by):
        if best is None:
            best = candidate
        elif candidate.sequence_class != best.sequence_class:
            runner_up = candidate
            break
    return Verdict(best or Candidate("UNKNOWN", "", 0.0, _absent(series)), runner_up, family)


def _candidates(
    series: Series, config: MrConfig, family: Family | None, by: str
) -> Iterator[Candidate]:
    yield from _no_image(series)
    yield from _by_image_type(series, config)
    named = _named(series, config)
    weight = named.weight if named else None
    if named and named.sequence_class:
        yield _by_name(series, named, named.sequence_class, 0.9)
    yield from _by_b_value(series)
    if named and weight:
        known = f"{weight}_NAME_BASED" if weight != "T2*" else "T2*"
        found = "T2*" if weight == "T2*" else _BY_FAMILY.get((weight, family or ""), known)
        yield _by_name(series, named, found, 0.9 if family else 0.7, by)
    yield from _by_acquisition_contrast(series, config, family, by)
    yield from _by_parameters(series, config, family, by)
    if "DERIVED" in series.image_type:
        yield Candidate("DERIVED", "I-derived", 0.5, "ImageType DERIVED")


def _no_image(series: Series) -> Iterator[Candidate]:
    uid = text_of(series.row, "SOPClassUID")
    if uid == SPECTROSCOPY:
        yield Candidate("MRS", "I-spectroscopy", 1.0, "SOP class MR Spectroscopy")
    if not series.name and not any(text_of(series.row, column) for column in _TELLING):
        yield Candidate("EXCLUDED", "I-empty", 1.0, "an empty row")
    measured = any(value is not None for value in series.parameters.values())
    if uid.startswith(_SECONDARY_CAPTURE) and not measured and not series.scanning:
        yield Candidate("EXCLUDED", "I-capture", 0.9, "secondary capture without parameters")


def _by_image_type(series: Series, config: MrConfig) -> Iterator[Candidate]:
    types = config.classification.image_type_tokens.intersection(series.image_type)
    for rule in config.classification.image_type if types else ():
        found = [token for token in rule.tokens if token in series.image_type]
        is_guarded = rule.derived and "DERIVED" not in series.image_type
        if found and not is_guarded and not rule.matches(rule.unless, series.name):
            yield Candidate(rule.sequence_class, rule.id, 0.95, f"ImageType {found[0]}")


def _named(series: Series, config: MrConfig) -> NameRule | None:
    rules = config.classification.rule_a
    return next((rule for rule in rules if rule.holds(series.name, series.parameters)), None)


def _by_name(
    series: Series, rule: NameRule, found: str, confidence: float, family: str = ""
) -> Candidate:
    limits = ", ".join(f"{name} {series.parameters[name]:g}" for name in rule.requires)
    parts = [f"name '{series.name[:80]}'", *filter(None, (limits, family))]
    return Candidate(found, rule.id, confidence, "; ".join(parts))


def _by_b_value(series: Series) -> Iterator[Candidate]:
    for column in ("b_value", "DiffusionBValue"):
        values = numbers_of(series.row, column)
        if any(value > 0 for value in values):
            yield Candidate("DWI", "P-b-value", 0.9, f"b-value {max(values):g}")
            return


def _by_acquisition_contrast(
    series: Series, config: MrConfig, family: Family | None, by: str
) -> Iterator[Candidate]:
    contrast = text_of(series.row, "AcquisitionContrast").upper()
    evidence = f"AcquisitionContrast {contrast}"
    if contrast in _ACQUISITION_CONTRASTS:
        yield Candidate(_ACQUISITION_CONTRASTS[contrast], "P-contrast", 0.75, evidence)
    weight = _ACQUISITION_WEIGHTS.get(contrast)
    found = "T2*" if weight == "T2*" else _BY_FAMILY.get((weight or "", family or ""))
    # A long repetition of a plain gradient echo may as well be BOLD.
    is_doubtful = weight in ("T2", "T2*") and family == "GRE"
    is_doubtful = is_doubtful and met(config.thresholds.bold, series.parameters)
    if found and family != "EPI" and not is_doubtful:
        yield Candidate(found, "P-contrast", 0.75, "; ".join(filter(None, (evidence, by))))


def _by_parameters(
    series: Series, config: MrConfig, family: Family | None, by: str
) -> Iterator[Candidate]:
    if text_of(series.row, "AngioFlag").upper() == "Y":
        yield Candidate("MRA", "P-angio", 0.6, "AngioFlag Y")
    limits, parameters = config.thresholds, series.parameters
    evidence = f"{_told(parameters)}; {by}"
    if family == "EPI":
        is_gradient = "GR" in series.scanning or "epfid" in series.name
        if is_gradient and met(limits.bold, parameters):
            yield Candidate("fMRI_BOLD", "P-bold", 0.6, evidence)
        return
    if family in _SPIN_ECHO:
        yield from _spin_echo(series, config, family or "SE", evidence)
    elif family is not None:
        prepared = "MP" in series.variant or "IR" in series.scanning
        is_t1 = "SP" in series.variant or prepared or family in ("FLASH3D", "GRE_SPOILED")
        if is_t1 and (met(limits.gre_t1, parameters) or met(limits.gre_t1_prepared, parameters)):
            yield Candidate(_BY_FAMILY["T1", family], "P-gre-t1", 0.6, evidence)
        elif met(limits.gre_t2star, parameters):
            yield Candidate("T2*", "P-gre-t2star", 0.5, evidence)


def _spin_echo(series: Series, config: MrConfig, family: str, evidence: str) -> Iterator[Candidate]:
    parameters, limits = series.parameters, config.thresholds.at(tesla_of(series.row))
    inverted = "IR" in series.scanning or text_of(series.row, "InversionRecovery") == "YES"
    if inverted and met(config.thresholds.flair, parameters):
        yield Candidate("T2_FLAIR", "P-flair", 0.7, evidence)
    elif inverted and met(limits.stir, parameters):
        yield Candidate("T2_STIR", "P-stir", 0.6, evidence)
    elif inverted and (parameters["TI"] or 0) > 0:
        return  # an inversion that is neither: the times alone tell nothing
    for weight, limit in (("T1", limits.t1), ("T2", limits.t2), ("PD", limits.pd)):
        if {"TR", "TE"} <= limit.keys() and met(limit, parameters):
            yield Candidate(_BY_FAMILY[weight, family], f"P-{weight.lower()}", 0.6, evidence)


def family_of(series: Series, config: MrConfig) -> tuple[Family | None, str]:
    """The kind of pulse sequence, and what says so: names, else ScanningSequence."""
    rules = config.classification.sequence_family
    told = f"{text_of(series.row, 'SequenceName').lower()} {series.name}"
    for rule in rules:
        if rule.matches(rule.name, told):
            return _refined(rule.family, series, config), f"{rule.family} by name ({rule.id})"
    for rule in rules:
        if found := sorted(series.scanning.intersection(rule.scanning)):
            family = _refined(rule.family, series, config)
            return family, f"{family} by ScanningSequence {found[0]} ({rule.id})"
    return None, ""


def _refined(family: Family, series: Series, config: MrConfig) -> Family:
    """A gradient echo by its variant, a spin echo by its echo train."""
    if family == "GRE" and "SP" in series.variant:
        return "GRE_SPOILED"
    if family == "GRE" and "SS" in series.variant:
        return "GRE_STEADY_STATE"
    train = series.parameters["ETL"] or 0
    if family in ("SE", "TSE") and train > config.thresholds.single_shot_echo_train:
        return "SingleShot"
    return "TSE" if family == "SE" and train > 1 else family


def _told(parameters: Mapping[str, float | None]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in parameters.items() if value is not None)


def _absent(series: Series) -> str:
    if series.name:
        return f"neither name '{series.name[:80]}' nor parameters decide"
    return "no name, and the parameters do not decide"
