"""What the page says, collected from templates and code, and the catalogues renewed from it.

Run as a program it renews them: ``python tests/web_status/catalogues.py``. New sentences stand
there without a translation, which fails the tests; what nobody says any more is taken out.
"""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract
from babel.messages.pofile import read_po, write_po
from jinja2 import nodes
from jinja2.ext import babel_extract

from processor.words import GRADE_WORDS, KIND_WORDS, PROCESSOR_WORDS, STEP_WORDS
from web_status.languages import ENGLISH, LANGUAGES, catalogue_path
from web_status.rendering import environment_of

PACKAGE = Path(__file__).parents[2] / "web_status"
TEMPLATES = sorted((PACKAGE / "templates").glob("*.html"))
WORDS = (GRADE_WORDS, KIND_WORDS, PROCESSOR_WORDS, STEP_WORDS)
"""Tables of other stages whose words the page shows."""

_ONE, _TWO = ("msgid", "gettext", "_gettext", "_"), ("ngettext", "_ngettext")
_KEYWORDS = dict.fromkeys(_ONE) | dict.fromkeys(_TWO, (1, 2))
_OPTIONS = {"trimmed": "true", "newstyle_gettext": "true"}


def said():
    """Each sentence, a pair of singular and plural where it counts, with where it is said."""
    for path in sorted(PACKAGE.glob("*.py")):
        yield from ((sentence, path.name) for sentence in _extracted(path, "python"))
    for path in TEMPLATES:
        yield from ((sentence, path.name) for sentence in _extracted(path, babel_extract))
        yield from ((pair, path.name) for pair in _counted(path))
    yield from ((word, "processor/words.py") for table in WORDS for word in table.values())


def _extracted(path: Path, method):
    with path.open("rb") as file:
        yield from (found[1] for found in extract(method, file, _KEYWORDS, options=_OPTIONS))


def _counted(path: Path) -> Iterator[tuple[str, str]]:
    """The nouns that the filter `count` is given."""
    source = path.read_text()
    for call in environment_of(ENGLISH).parse(source).find_all(nodes.Filter):
        if call.name == "count":
            singular, *plural = (argument.as_const() for argument in call.args)
            yield f"%(num)s {singular}", f"%(num)s {plural[0] if plural else singular + 's'}"


def template() -> Catalog:
    """All of it as a catalogue without translations."""
    found = Catalog(project="Safelight", charset="utf-8")
    for sentence, place in said():
        found.add(sentence, locations=[(place, 0)])
    return found


def of_language(language: str) -> Catalog:
    """The catalogue of a language, as it is in the package."""
    with catalogue_path(language).open("rb") as file:
        return read_po(file, locale=language.replace("-", "_"))


def renew(language: str) -> None:
    """Take new sentences into a catalogue, and out what is not said any more."""
    kept = of_language(language)
    kept.update(template(), no_fuzzy_matching=True)
    kept.obsolete.clear()
    written = BytesIO()
    write_po(written, kept, width=100, include_lineno=False, sort_output=False)
    catalogue_path(language).write_bytes(written.getvalue())


if __name__ == "__main__":
    for each in LANGUAGES:
        if each != ENGLISH:
            renew(each)
