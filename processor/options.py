"""Checking the options a rule gives a processor, with a suggestion for a misspelt name."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from processor.errors import OptionError
from rules.destination import parse_name
from rules.errors import RuleError


@dataclass(frozen=True)
class Option:
    """One option: its default, what is accepted, and how to say so."""

    name: str
    default: object
    accepts: Callable[[object], bool]
    expected: str


def choice(name: str, default: str, allowed: Iterable[str]) -> Option:
    """An option that is one of some words."""
    words = tuple(allowed)
    listed = " or ".join(f'"{word}"' for word in words)
    return Option(name, default, lambda value: value in words, listed)


def whole_number(name: str, default: int | None, low: int, high: int) -> Option:
    """An option that is a whole number in a range."""
    return Option(
        name,
        default,
        lambda value: type(value) is int and low <= value <= high,
        f"a whole number from {low} to {high}",
    )


def text(name: str, expected: str) -> Option:
    """An option that is text, and not empty; not given, there is none."""
    return Option(name, None, lambda value: isinstance(value, str) and bool(value), expected)


def name_template(name: str) -> Option:
    """An option that is a template of a file name; not given, there is none."""

    def accepts(value: object) -> bool:
        try:
            return isinstance(value, str) and bool(parse_name(value))
        except (ValueError, RuleError):
            return False

    return Option(name, None, accepts, "a name such as {SeriesNumber:03d}_{SeriesDescription}")


def check(processor: str, known: tuple[Option, ...], given: Mapping[str, object]) -> None:
    """Raise `OptionError` for the first option that is unknown or has a wrong value.

    >>> check("convert", (whole_number("compression", 1, 0, 9),), {"compresion": 3})
    Traceback (most recent call last):
    processor.errors.OptionError: convert: unknown option compresion (did you mean compression?)
    """
    names = {option.name: option for option in known}
    for name, value in given.items():
        if name not in names:
            raise OptionError(f"{processor}: unknown option {name} {_hint(name, names)}")
        if not names[name].accepts(value):
            raise OptionError(
                f"{processor}: option {name} = {value!r}: expected {names[name].expected}"
            )


def _hint(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, list(names), n=1)
    if near:
        return f"(did you mean {near[0]}?)"
    known = ", ".join(sorted(names))
    return f"(known: {known})" if known else "(it has none)"


def value_of(known: tuple[Option, ...], given: Mapping[str, object], name: str) -> object:
    """The value given for an option, else its default."""
    return given.get(name, next(option.default for option in known if option.name == name))
