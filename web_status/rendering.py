"""Templates: set up once for each language, and rendered. Everything is escaped."""

from collections.abc import Mapping
from pathlib import Path

import jinja2
from aiohttp import web
from markupsafe import Markup

from web_status.context import WebContext
from web_status.languages import LANGUAGES, catalogue
from web_status.views import Fragment
from web_status.wording import Wording
from web_status.words import FILTERS

_TEMPLATES = Path(__file__).parent / "templates"
_ENVIRONMENTS = web.AppKey("templates by language", Mapping[str, jinja2.Environment])


def set_up_templates(app: web.Application, context: WebContext) -> None:
    """Let `app` render our templates; the version is shown and makes static files new."""
    app[_ENVIRONMENTS] = {language: environment_of(language) for language in LANGUAGES}
    for environment in app[_ENVIRONMENTS].values():
        environment.globals["version"] = context.version
        environment.globals["identity"] = context.identity
        environment.globals["has_nodes"] = bool(context.nodes)


def environment_of(language: str) -> jinja2.Environment:
    """Our templates in a language."""
    translations = catalogue(language)
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(  # type: ignore[attr-defined]  # by the extension
        translations, newstyle=True
    )
    environment.filters |= {**FILTERS, **Wording(translations).filters()}
    environment.globals |= {"person": None, "veiled": False}  # until who asks is known
    environment.globals |= {"language": language, "languages": LANGUAGES}
    return environment


def page_of(
    app: web.Application, language: str, template: str, values: Mapping[str, object]
) -> str:
    """A whole page."""
    return app[_ENVIRONMENTS][language].get_template(template).render(values)


def html_of(app: web.Application, language: str, fragment: Fragment) -> Markup:
    """The element of a fragment."""
    template = app[_ENVIRONMENTS][language].get_template(fragment.template)
    # The template escaped what it was given; what it made is markup.
    return Markup(template.render(fragment.values, id=fragment.id).strip())  # noqa: S704
