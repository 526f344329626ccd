"""The configuration of MR normalisation: read from JSON, checked, its patterns compiled."""

import json
import re
from collections.abc import Mapping
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from processor.errors import MrConfigError

SHIPPED = Path(__file__).parent.parent / "mr_clean_config.json"
SCHEMA_FILE = SHIPPED.with_name("mr_clean_config.schema.json")

SequenceClass = Literal[
    "T1_SE", "T1_TSE", "T1_GRE", "T1_GRE_SPOILED", "T1_GRE_STEADY_STATE", "T1_GRE_FLASH3D",
    "T1_MAP", "T1_NAME_BASED", "T2_SE", "T2_TSE", "T2_SE_SingleShot", "T2_FLAIR", "T2_STIR",
    "T2_GRE", "T2*", "T2_MAP", "T2_NAME_BASED", "PD_SE", "PD_TSE", "PD_GRE", "PD_NAME_BASED",
    "DWI", "DTI", "ADC", "FA_MAP", "MRA", "SWI", "PWI", "MRS", "MRCP", "fMRI_BOLD", "LOCALIZER",
    "SUBTRACTION", "MIP", "DERIVED", "BREATH MOVEMENT", "EXCLUDED", "UNKNOWN",
]  # fmt: skip
SequenceFamily = Literal[
    "T1_anatomic", "T1_fat_suppressed", "T1_in_phase", "T1_out_phase", "T2_anatomic",
    "T2_fat_suppressed", "PD", "DWI", "ADC", "MRA", "SWI", "PWI", "MRS", "MRCP", "fMRI",
    "LOCALIZER", "DERIVED", "OTHER", "UNKNOWN",
]  # fmt: skip
Weight = Literal["T1", "T2", "T2*", "PD"]
Family = Literal[
    "EPI", "SingleShot", "FLASH3D", "GRE_SPOILED", "GRE_STEADY_STATE", "TSE", "GRE", "SE"
]
Parameter = Literal["TR", "TE", "TI", "FA", "ETL"]
CLASSES: tuple[str, ...] = get_args(SequenceClass)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Range(_Strict):
    """Limits of a parameter, both included: milliseconds, or degrees of FA."""

    min: float | None = None
    max: float | None = None

    def holds(self, value: float | None) -> bool:
        """Whether a value is known and within the limits."""
        return (
            value is not None
            and (self.min is None or value >= self.min)
            and (self.max is None or value <= self.max)
        )


Limits = Mapping[Parameter, Range]


def met(limits: Limits, parameters: Mapping[str, float | None]) -> bool:
    """Whether every limit is met by a known value."""
    return all(limit.holds(parameters.get(name)) for name, limit in limits.items())


class FieldThresholds(_Strict):
    """What the weights of spin echoes are at one field strength."""

    t1: Limits
    t2: Limits
    pd: Limits
    stir: Limits


class Thresholds(_Strict):
    """Limits by field strength in tesla, and those that hold at all."""

    default_field_strength: float
    field_strength: Mapping[str, FieldThresholds]
    flair: Limits
    gre_t1: Limits
    gre_t1_prepared: Limits
    gre_t2star: Limits
    bold: Limits
    single_shot_echo_train: int

    @model_validator(mode="after")
    def _require_numbers(self) -> Self:
        for strength in self.field_strength:
            if not re.fullmatch(r"\d+(\.\d+)?", strength):
                raise ValueError(f"{strength!r}: expected a field strength in tesla")
        if not self.field_strength:
            raise ValueError("field_strength: expected one or more")
        return self

    def at(self, tesla: float | None) -> FieldThresholds:
        """Those of the nearest field strength; of the default one where it is not known."""
        wanted = tesla or self.default_field_strength
        return self.field_strength[min(self.field_strength, key=lambda s: abs(float(s) - wanted))]


def _pattern(text: str) -> str:
    try:
        re.compile(text)
    except re.error as error:
        raise ValueError(f"no regular expression: {error}") from None
    return text


class _Named(_Strict):
    id: str = Field(min_length=1)

    def matches(self, pattern: str, name: str) -> bool:
        """Whether a pattern of this rule is found in a normalised name."""
        return bool(pattern) and _compiled(pattern).search(name) is not None


@lru_cache(maxsize=4096)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


class ImageTypeRule(_Named):
    """A class by values of ImageType, ComplexImageComponent or FrameType."""

    sequence_class: Annotated[SequenceClass, Field(alias="class")]
    tokens: tuple[str, ...]
    unless: str = ""
    derived: bool = False

    @model_validator(mode="after")
    def _check(self) -> Self:
        _pattern(self.unless)
        return self


class NameRule(_Named):
    """A class, or a weight that the family completes, by the names of a series.

    `unless` is a pattern that must not be found, `requires` limits of parameters that are known.
    """

    sequence_class: Annotated[SequenceClass | None, Field(alias="class")] = None
    weight: Weight | None = None
    pattern: str
    unless: str = ""
    requires: Limits = {}

    @model_validator(mode="after")
    def _check(self) -> Self:
        _pattern(self.pattern)
        _pattern(self.unless)
        if (self.sequence_class is None) == (self.weight is None):
            raise ValueError("expected either class or weight")
        return self

    def holds(self, name: str, parameters: Mapping[str, float | None]) -> bool:
        """Whether the rule says something of a series."""
        return (
            self.matches(self.pattern, name)
            and not self.matches(self.unless, name)
            and met(self.requires, parameters)
        )


class FamilyRule(_Named):
    """A family by a pattern of the names, or by ScanningSequence."""

    family: Family
    name: str = ""
    scanning: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        _pattern(self.name)
        return self


class Classification(_Strict):
    """How classes are found, in this order."""

    image_type: tuple[ImageTypeRule, ...]
    rule_a: Annotated[tuple[NameRule, ...], Field(alias="ruleA")]
    sequence_family: tuple[FamilyRule, ...]
    families: Mapping[SequenceClass, SequenceFamily]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if missing := [name for name in CLASSES if name not in self.families]:
            raise ValueError(f"families: missing {', '.join(missing)}")
        ids = [rule.id for rule in (*self.image_type, *self.rule_a, *self.sequence_family)]
        if twice := {name for name in ids if ids.count(name) > 1}:
            raise ValueError(f"id: twice {', '.join(sorted(twice))}")
        return self

    @cached_property
    def image_type_tokens(self) -> frozenset[str]:
        """Every value that a rule for image types asks for."""
        return frozenset(token for rule in self.image_type for token in rule.tokens)


class PartRule(_Named):
    """The image of a Dixon acquisition that a series is."""

    suffix: Literal["WATER", "FAT", "INPHASE", "OUTPHASE"]
    tokens: tuple[str, ...]
    pattern: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        _pattern(self.pattern)
        return self


class MethodRule(_Named):
    """A way to suppress fat, by name."""

    method: str
    pattern: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        _pattern(self.pattern)
        return self


class FatSuppression(_Strict):
    """How fat suppression is seen."""

    scan_options: tuple[str, ...]
    methods: tuple[MethodRule, ...]


class Contrast(_Strict):
    """How a contrast agent is seen."""

    agents_for_none: tuple[str, ...]
    pre: str
    post: str

    @model_validator(mode="after")
    def _check(self) -> Self:
        _pattern(self.pre)
        _pattern(self.post)
        return self


class Motion(_Strict):
    """How motion correction is seen."""

    pattern: str
    tokens: tuple[str, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        _pattern(self.pattern)
        return self


class Dynamic(_Strict):
    """How series are grouped into dynamics, and their phases named."""

    tolerance: Annotated[float, Field(ge=0, lt=1)]
    phase_words: str
    names: Mapping[Literal["arterial", "portal", "delayed", "hepatobiliary"], str]
    seconds: Mapping[Literal["arterial", "portal", "delayed", "hepatobiliary"], Range]
    sources: tuple[SequenceClass, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for pattern in (self.phase_words, *self.names.values()):
            _pattern(pattern)
        return self


class MrConfig(_Strict):
    """All of `mr_clean_config.json`."""

    thresholds: Thresholds
    classification: Classification
    parts: tuple[PartRule, ...]
    fat_suppression: FatSuppression
    contrast: Contrast
    motion: Motion
    dynamic: Dynamic
    manufacturers: Mapping[str, str]

    @model_validator(mode="after")
    def _check(self) -> Self:
        for pattern in self.manufacturers:
            _pattern(pattern)
        return self

    @cached_property
    def manufacturer_patterns(self) -> tuple[tuple[re.Pattern[str], str], ...]:
        """Each manufacturer's names and what it is called."""
        return tuple((re.compile(pattern), name) for pattern, name in self.manufacturers.items())


def found_in(pattern: str, name: str) -> bool:
    """Whether a pattern of the configuration is found in a normalised name."""
    return bool(pattern) and _compiled(pattern).search(name) is not None


def load_config(path: Path | None = None) -> MrConfig:
    """Read a configuration, the one that ships with Safelight without a path.

    Raises
    ------
    MrConfigError
        It cannot be read, or is wrong; the rule is named.
    """
    path = path or SHIPPED
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MrConfigError(f"{path.name}: {error.strerror}") from None
    except ValueError as error:
        raise MrConfigError(f"{path.name}: no JSON: {error}") from None
    return parse_config(document, path.name)


def parse_config(document: object, name: str = "cfg") -> MrConfig:
    """Read a configuration from a mapping; raises as `load_config`."""
    try:
        return MrConfig.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        place = _place(document, first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        raise MrConfigError(f"{name}: {place}: {message[0].lower()}{message[1:]}") from None


def _place(document: Any, keys: tuple[int | str, ...]) -> str:
    """Where an error is, with the identifier of the rule it is in."""
    names: list[str] = []
    for key in keys:
        try:
            document = document[key]
        except (KeyError, IndexError, TypeError):
            document = None
        told = document.get("id") if isinstance(document, dict) else None
        names.append(f"{told}" if isinstance(key, int) and told else str(key))
    return ".".join(names) or "(document)"


def schema() -> dict[str, Any]:
    """The JSON schema of a configuration."""
    return MrConfig.model_json_schema(by_alias=True)
