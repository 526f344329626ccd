"""Descriptions without identity: of free text only the words of imaging stay.

A list of what is safe is kept, since nobody can list what is not.
"""

import re
from collections.abc import Iterable
from functools import lru_cache
from importlib.resources import files

_DATE = re.compile(r"[0-9]{1,4}([-./])[0-9]{1,2}\1[0-9]{1,4}")
_TOKEN = re.compile(r"[^\W_]+")
_PARTED = re.compile(r"[a-z]+|[0-9]+")
_NUMBER = re.compile(r"[a-z]?[0-9]{1,2}|[0-9]{3}|b[0-9]{1,4}")
_SEPARATORS = re.compile(r"[^a-zA-Z0-9]+")


@lru_cache(maxsize=1)
def _shipped() -> frozenset[str]:
    text = files("processor.deid").joinpath("words.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def safe_words(more: Iterable[str] = ()) -> frozenset[str]:
    """The words that may stay: those of imaging, and a site's own."""
    return _shipped().union(word.lower() for word in more)


def cleaned(text: str, words: frozenset[str], identity: frozenset[str]) -> str:
    """What of a text is words of imaging and short numbers, and no part of the identity.

    >>> cleaned("t1_mprage_sag DOE 1957-03-02 2mm", safe_words(), frozenset())
    't1_mprage_sag 2mm'
    >>> cleaned("Head of Doe, head3", safe_words(), frozenset({"head"}))
    ''
    """
    kept = ""
    end = 0
    text = _DATE.sub(" ", text)
    for match in _TOKEN.finditer(text):
        token = match[0].lower()
        is_told = token in identity or not identity.isdisjoint(_PARTED.findall(token))
        if not is_told and _is_safe(token, words):
            between = _SEPARATORS.match(text, end, match.start())
            kept += (between[0][-1] if between and kept else " " if kept else "") + match[0]
        end = match.end()
    return kept


def _is_safe(token: str, words: frozenset[str]) -> bool:
    if token in words or _NUMBER.fullmatch(token):
        return True
    parts = _PARTED.findall(token)
    if "".join(parts) != token or len(parts) > 3:
        return False
    return all(part in words or (part.isdigit() and len(part) <= 3) for part in parts) and any(
        part in words for part in parts
    )
