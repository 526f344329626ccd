"""The names of a series as one text that patterns can be written for."""

import re
from functools import lru_cache

from processor.mr_clean.reading import Row, text_of

_NAMES = ("ProtocolName", "SeriesDescription", "SequenceName", "PulseSequenceName")
_CHINESE = "\u4e00-\u9fff"

_REPLACED = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        (r"t2\s*[_-]?\s*(\*|star)", " t2star "),
        (r"\+\s*c\b", " pluscontrast "),
        (r"\bw\s*/\s*o\b|\bwo\b", " without "),
        (r"(?<![0-9.])([23])\s*[-_]?d", r" \1d "),
        (r"(?<![a-z])t([12])w(?!ater)[ie]?", r" t\1 "),
        (r"(?<![a-z])t([12])[-_ ]w[ie]?(?![a-z])", r" t\1 "),
        (
            r"\b((?:3d|2d)?(?:ax|cor|sag|tra|obl|pre|post|fs|se|tse|fse|gre))(?=t[12](?![0-9]))",
            r"\1 ",
        ),
    )
)
_CASE = re.compile(r"(?<=[a-z])(?=[A-Z])(?!IP\b)|(?<=[A-Z])(?=[A-Z][a-z])")
_AFTER_DIGITS = re.compile(r"(?<=[0-9])(?=[A-Za-z])(?![dD]\b|star)")
_SEPARATORS = re.compile(rf"[^0-9a-z{_CHINESE}]+")


def name_of(row: Row) -> str:
    """ProtocolName, SeriesDescription and the sequence's names, as `normalised` makes them."""
    return normalised(" ".join(text for name in _NAMES if (text := text_of(row, name))))


@lru_cache(maxsize=65_536)
def normalised(text: str) -> str:
    """Lower case, one space between words; split at punctuation, changes of case, after digits.

    >>> normalised("AxT2_FLAIR+C"), normalised("t1_vibe_fs_tra"), normalised("T2*W 3DGRE")
    ('ax t2 flair pluscontrast', 't1 vibe fs tra', 't2star w 3d gre')
    """
    text = _CASE.sub(" ", text)
    for pattern, replacement in _REPLACED:
        text = pattern.sub(replacement, text)
    text = _AFTER_DIGITS.sub(" ", text)
    return _SEPARATORS.sub(" ", text.lower()).strip()


def without(words: str, name: str) -> str:
    """A normalised name with what a pattern finds taken out."""
    return " ".join(re.sub(words, " ", name).split())
