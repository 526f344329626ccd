"""Puts what the ledger says into words of one language: the filters of templates that need one."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from gettext import NullTranslations
from types import MappingProxyType

from ledger.rows import AssociationRow, SeriesRow, StudyRow
from processor.words import (
    GRADE_WORDS,
    KIND_WORDS,
    PROCESSOR_WORDS,
    STEP_WORDS,
    Words,
    person_name,
    size,
)
from web_status.languages import msgid
from web_status.phrases import PHRASES
from web_status.words import EVIDENCE_WORDS, JOB_WORDS, STATE_WORDS, labelled, quality

ADVICE: Words = MappingProxyType(
    {
        "StorageError": msgid(
            "Check that the disk of the results folder is there, writable and not full."
        ),
        "WorkerTimeout": msgid(
            "The series took longer than a worker may. Raise the time limit if it is"
            " very large; otherwise one of its instances is probably damaged."
        ),
        "WorkerOutOfMemory": msgid(
            "The series needs more memory than a worker may have. Raise the"
            " memory limit, or let fewer workers run at the same time."
        ),
        "WorkerDied": msgid(
            "The worker process crashed, most often in the decoder of a damaged"
            " instance. Compare the instances with those of the sender."
        ),
        "OptionError": msgid("An option in the rule is wrong. Correct the rule named above."),
        "TemplateError": msgid("A metadata template is wrong. Correct the file the message names."),
    }
)
_GENERAL_ADVICE = msgid(
    "Trying again did not help. The log of the service names the place in the code."
)
_NOTHING_LOST = msgid("No instance is lost: all of them are in the spool.")

_KEPT = 4096
_PLACE = re.compile(r"%\\\((\w+)\\\)s")  # in an escaped phrase
_NUMBERS = frozenset({"n", "all", "most", "more", "missing", "columns"})
_SENTENCES = frozenset({"how", "reason"})
"""The places of a phrase that hold numbers, and phrases themselves; any other holds anything."""


class Wording:
    """Words of one language.

    Parameters
    ----------
    translations
        The catalogue of the language; without one it is English, as everything is written.

    Examples
    --------
    >>> english = Wording(NullTranslations())
    >>> english.seconds(0.25), english.seconds(12.34), english.seconds(200), english.seconds(7300)
    ('0.25 s', '12.3 s', '3 min 20 s', '2 h 1 min')
    """

    def __init__(self, translations: NullTranslations) -> None:
        self._gettext, self._ngettext = translations.gettext, translations.ngettext
        is_english = type(translations) is NullTranslations
        self._patterns = [] if is_english else [(_pattern(each), each) for each in PHRASES]
        self.told = lru_cache(_KEPT)(self._told)

    def filters(self) -> Mapping[str, Callable[..., str]]:
        """The filters, by their names in templates."""
        return {
            "advice": self.advice,
            "completeness": self.completeness,
            "count": self.count,
            "grade_words": self.grade_words,
            "job_word": self._labelled(JOB_WORDS),
            "kind_word": self._labelled(KIND_WORDS),
            "pace": self.pace,
            "patient_id": self.patient_id,
            "person_name": self.person_name,
            "processor_word": self._labelled(PROCESSOR_WORDS),
            "quality": lambda row: self.told(quality(row)),
            "seconds": self.seconds,
            "series_name": self.series_name,
            "size": self.size,
            "state_word": self._labelled(STATE_WORDS),
            "step_word": self._labelled(STEP_WORDS),
            "study_completeness": self.study_completeness,
            "time_left": self.time_left,
            "told": self.told,
        }

    def _told(self, text: str) -> str:
        """A sentence of another stage, as far as it is known; else as it is."""
        if not text:
            return ""
        if (known := self._gettext(text)) != text:
            return known
        if "; " in text:
            return self._gettext("; ").join(map(self.told, text.split("; ")))
        for pattern, phrase in self._patterns:
            if found := pattern.fullmatch(text):
                values = found.groupdict()
                values |= {name: self.told(values[name]) for name in values.keys() & _SENTENCES}
                return self._gettext(phrase) % values
        return text

    def count(self, number: int, singular: str, plural: str = "") -> str:
        """A number with its noun."""
        one, many = f"%(num)s {singular}", f"%(num)s {plural or singular + 's'}"
        words = self._ngettext(one, many, number)
        return words % {"num": f"{number:,}"}

    def size(self, number: float) -> str:
        """Bytes in decimal units, three digits."""
        if number >= 1000:
            return size(number)
        return self._ngettext("%(num)s byte", "%(num)s bytes", int(number)) % {"num": int(number)}

    def seconds(self, number: float) -> str:
        """A duration."""
        if number < 60:
            return self._gettext("%(n)s s") % {"n": f"{number:.3g}"}
        minutes, rest = divmod(round(number), 60)
        if minutes < 60:
            return self._gettext("%(n)d min %(rest)d s") % {"n": minutes, "rest": rest}
        return self._gettext("%(n)d h %(rest)d min") % {"n": minutes // 60, "rest": minutes % 60}

    def advice(self, error: str) -> str:
        """What a person can do about the error of a job that was given up."""
        found = (text for cause, text in ADVICE.items() if cause in error)
        told = self._gettext(next(found, _GENERAL_ADVICE))
        values = {"advice": told, "nothing_lost": self._gettext(_NOTHING_LOST)}
        return self._gettext("%(advice)s %(nothing_lost)s") % values

    def completeness(self, row: SeriesRow) -> str:
        """How sure it is that a series is whole, and on what evidence."""
        if row.state == "arriving":
            so_far = self.count(row.instances, "instance")
            return self._gettext("%(instances)s so far") % {"instances": so_far}
        grade = row.grade or "unknown"
        word = "incomplete" if row.missing else GRADE_WORDS.get(grade, grade)
        values = {"grade": self.told(word), "evidence": self.told(row.evidence)}
        return self._gettext("%(grade)s: %(evidence)s") % values

    def study_completeness(self, study: StudyRow) -> str:
        """How sure it is that all of a study is here, and on what evidence."""
        if study.is_arriving:
            return self._gettext("arriving")
        if missing := sum(row.missing or 0 for row in study.series):
            values = {"instances": self.count(missing, "instance")}
            return self._gettext("incomplete: %(instances)s missing") % values
        grade = study.complete_grade or "unknown"
        word = self.told(GRADE_WORDS.get(grade, grade))
        if not study.complete_evidence:
            return word
        values = {"grade": word, "evidence": self.told(study.complete_evidence)}
        return self._gettext("%(grade)s: %(evidence)s") % values

    def grade_words(self, grade: str) -> str:
        """A grade, with what it means.

        >>> Wording(NullTranslations()).grade_words("listed")
        'complete: listed by a PACS'
        """
        values = {
            "grade": self.told(GRADE_WORDS[grade]),
            "evidence": self._gettext(EVIDENCE_WORDS[grade]),
        }
        return self._gettext("%(grade)s: %(evidence)s") % values

    def pace(self, row: AssociationRow) -> str:
        """How fast an association is, from its beginning to its latest instance; empty at first."""
        if row.latest_at is None:
            return ""
        took = datetime.fromisoformat(row.latest_at) - datetime.fromisoformat(row.began_at)
        lasted = took.total_seconds()
        if lasted < 1:
            return ""
        values = {"n": f"{row.stored / lasted:.3g}", "size": self.size(row.bytes / lasted)}
        return self._gettext("%(n)s instances/s, %(size)s/s on average") % values

    def time_left(self, number: float | None) -> str:
        """How long something will take yet, as rough as it is known; empty for what is not.

        >>> left = Wording(NullTranslations()).time_left
        >>> left(4), left(47), left(130), left(9000), left(None)
        ('a few seconds left', 'about 50 s left', 'about 2 min left', 'about 2.5 h left', '')
        """
        if number is None:
            return ""
        if number < 10:
            return self._gettext("a few seconds left")
        if number < 90:
            return self._gettext("about %(n)s s left") % {"n": round(number / 10) * 10}
        if number < 5400:
            return self._gettext("about %(n)s min left") % {"n": round(number / 60)}
        return self._gettext("about %(n)s h left") % {"n": f"{number / 3600:.2g}"}

    def series_name(self, row: SeriesRow) -> str:
        """What a series is called: its number and description."""
        number = "" if row.SeriesNumber is None else f"{row.SeriesNumber} "
        return f"{number}{row.SeriesDescription or self._gettext('without description')}"

    def person_name(self, name: str) -> str:
        """A name as people write it; those of patients are never translated."""
        return self.patient_id(name) if name == "(hidden)" else person_name(name)

    def patient_id(self, text: str) -> str:
        """A patient ID as it is; of one that is hidden, that it is."""
        return self._gettext("(hidden)") if text == "(hidden)" else text

    def _labelled(self, words: Words) -> Callable[[str], str]:
        label = labelled(words)
        return lambda name: self.told(label(name))


def _pattern(phrase: str) -> "re.Pattern[str]":
    """What a phrase looks like with something in its places.

    >>> _pattern("%(n)s by %(engine)s").fullmatch("2 by ours").groupdict()
    {'n': '2', 'engine': 'ours'}
    """
    return re.compile(_PLACE.sub(_group, re.escape(phrase)), re.DOTALL)


def _group(place: "re.Match[str]") -> str:
    return f"(?P<{place[1]}>{'[0-9.,]+' if place[1] in _NUMBERS else '.+'})"
