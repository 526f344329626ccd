"""The languages of the page: which one an answer is in, and where its words come from.

The id of a message is its English sentence. Catalogues are read when the page starts, in the form
that people write (.po), so nothing is compiled beforehand.
"""

import re
from collections.abc import Iterator, Mapping
from gettext import GNUTranslations, NullTranslations
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

from aiohttp import web
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po

ENGLISH = "en"
LANGUAGES: Mapping[str, str] = MappingProxyType({ENGLISH: "English", "zh-Hans": "简体中文"})
"""Each language as HTML names it (BCP 47), with what its speakers call it."""

COOKIE = "safelight-language"
"""Keeps what a person chose."""

LOCALE = Path(__file__).parent / "locale"

# Traditional Chinese is another script: who asks for it alone gets English.
_TAGS: Mapping[str, "re.Pattern[str]"] = MappingProxyType(
    {
        "zh-Hans": re.compile(r"zh(-(hans|cn|sg|my)(-.*)?)?", re.IGNORECASE),
        ENGLISH: re.compile(r"en(-.*)?", re.IGNORECASE),
    }
)
_ITEM = re.compile(r"\s*([A-Za-z0-9-]+)\s*(?:;\s*q=([01](?:\.\d{1,3})?))?\s*")


def msgid(text: str) -> str:
    """Mark a sentence for the catalogues; it is translated where it is shown."""
    return text


def catalogue_path(language: str) -> Path:
    """Where the catalogue of a language is."""
    return LOCALE / language.replace("-", "_") / "LC_MESSAGES" / "page.po"


def catalogue(language: str) -> NullTranslations:
    """The words of a language; English needs none."""
    if language == ENGLISH:
        return NullTranslations()
    compiled = BytesIO()
    with catalogue_path(language).open("rb") as file:
        write_mo(compiled, read_po(file))
    compiled.seek(0)
    return GNUTranslations(compiled)


def language_of(request: web.Request) -> str:
    """The language to answer in: what was chosen, else what the browser asks for, else English."""
    chosen = request.cookies.get(COOKIE, "")
    if chosen in LANGUAGES:
        return chosen
    return negotiated(request.headers.get("Accept-Language", ""))


def negotiated(header: str) -> str:
    """The language of ours that an Accept-Language header (RFC 9110 12.5.4) likes best.

    >>> negotiated("fr, zh-CN;q=0.9, en;q=0.8"), negotiated("en, zh"), negotiated("zh-TW")
    ('zh-Hans', 'en', 'en')
    """
    liked = sorted(_asked(header), key=lambda item: -item[1])
    for tag, quality in liked:
        for language, pattern in _TAGS.items():
            if quality > 0 and pattern.fullmatch(tag):
                return language
    return ENGLISH


def _asked(header: str) -> Iterator[tuple[str, float]]:
    """Tags with how much they are liked, 0 to 1; what is not well formed is passed over."""
    for item in header.split(","):
        if found := _ITEM.fullmatch(item):
            yield found[1], float(found[2] or 1)
