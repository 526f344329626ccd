"""The texts of notifications: Jinja in a sandbox, with variables that are always there.

Whether a template is good is known when the configuration is read: it may only name these
variables, and is tried on a notification of each event.
"""

import json
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, get_args

from jinja2 import StrictUndefined, TemplateError, TemplateSyntaxError, meta
from jinja2.sandbox import ImmutableSandboxedEnvironment

from rules.notify import Event

Variables = Mapping[str, Any]

VARIABLES: Variables = MappingProxyType(
    {
        "id": 0,
        "event": "",
        "at": "",
        "node": "",
        "name": "",
        "title": "",
        "what": "",
        "remedy": "",
        "severity": "",
        "since": "",
        "link": "",
        "rule": "",
        "reason": "",
        "job": 0,
        "series": 0,
        "study": 0,
        "series_uid": "",
        "study_uid": "",
        "accession_number": "",
        "modality": "",
        "jobs_done": 0,
        "jobs_failed": 0,
        "count": 0,
        "events": MappingProxyType({}),
        "lines": (),
        "details": (),
    }
)
"""Each with what it is where an event says nothing of it."""

SUBJECT = "Safelight {{ node }}: {{ title }}"
TEXT = """\
{{ what }}
{% for line in lines %}
- {{ line }}
{% endfor %}
{% if remedy %}

What to do: {{ remedy }}
{% endif %}

{% for line in details %}
{{ line }}
{% endfor %}

Notification {{ id }} of Safelight {{ node }} to {{ name }}
"""

_EVENTS: tuple[str, ...] = (
    *("alarm_began", "alarm_lasts", "alarm_ended", *get_args(Event)),
    *("summary", "test"),
)


def rendered(template: str, variables: Variables) -> str:
    """A template filled in.

    Raises
    ------
    jinja2.TemplateError
        It cannot be.
    """
    return _environment().from_string(template).render(variables)


def require_good(subject: str, text: str, body: str) -> None:
    """Check templates of a configuration; an empty one is not there.

    Raises
    ------
    ValueError
        Names the key, the line where it is known, and what is wrong.
    """
    for key, template in (("subject", subject), ("text", text), ("body", body)):
        try:
            _require_good(template)
        except TemplateSyntaxError as error:
            raise ValueError(f"{key}: line {error.lineno}: {error.message}") from error
        except TemplateError as error:
            raise ValueError(f"{key}: {error.message}") from error
        except (ArithmeticError, TypeError, LookupError) as error:
            raise ValueError(f"{key}: {error}") from error
    if body:
        _require_json(body)


def _require_good(template: str) -> None:
    named = meta.find_undeclared_variables(_environment().parse(template))
    for name in sorted(named - {*VARIABLES, *_environment().globals}):
        known = ", ".join(VARIABLES)
        raise TemplateError(f"{_line_of(template, name)}no variable is called {name}; use {known}")
    for event in _EVENTS:
        rendered(template, {**VARIABLES, "event": event})


def _require_json(body: str) -> None:
    tried = rendered(body, {**VARIABLES, "title": 'a "title"', "what": "two\nlines"})
    try:
        json.loads(tried)
    except ValueError as error:
        raise ValueError(
            f"body: what it makes is no JSON ({error}); write values as {{{{ title | tojson }}}}"
        ) from error


def _line_of(template: str, name: str) -> str:
    for number, line in enumerate(template.splitlines(), start=1):
        if name in line:
            return f"line {number}: "
    return ""


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
