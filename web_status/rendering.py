"""Templates: set up once, and fragments rendered by them. Everything is escaped."""

from pathlib import Path

import aiohttp_jinja2
import jinja2
from aiohttp import web
from markupsafe import Markup

from web_status.context import WebContext
from web_status.views import Fragment
from web_status.words import FILTERS

_TEMPLATES = Path(__file__).parent / "templates"


def set_up_templates(app: web.Application, context: WebContext) -> None:
    """Let `app` render our templates; the version is shown and makes static files new."""
    environment = aiohttp_jinja2.setup(
        app,
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        filters=FILTERS,
    )
    environment.globals["version"] = context.version
    environment.globals["identity"] = context.identity
    environment.globals |= {"person": None, "veiled": False}  # until who asks is known


def html_of(app: web.Application, fragment: Fragment) -> Markup:
    """The element of a fragment."""
    template = aiohttp_jinja2.get_env(app).get_template(fragment.template)
    # The template escaped what it was given; what it made is markup.
    return Markup(template.render(fragment.values, id=fragment.id).strip())  # noqa: S704
