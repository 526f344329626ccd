"""The web application of the status page, put together, and the server that runs it."""

from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from web_status.access import DOOR, Door, admit, keep_visitor
from web_status.actions import add_actions
from web_status.api.routes import add_api
from web_status.certificates import certificate_watched
from web_status.choosing import add_choosing
from web_status.context import CONTEXT, WebContext
from web_status.downloads import add_downloads
from web_status.drafting import add_drafting
from web_status.ledger_thread import LEDGER, LedgerThread
from web_status.live import HUB, events, hub_running, let_clients_go
from web_status.login import add_login
from web_status.metrics import add_metrics
from web_status.nodes_page import add_nodes
from web_status.ordering import add_ordering
from web_status.pages import add_pages
from web_status.rendering import set_up_templates
from web_status.request_ids import add_request_id, identify
from web_status.rule_versions import add_rule_versions
from web_status.security import BODY_BYTES_MAX, add_security_headers, friendly_errors, guard
from web_status.serving import require_users, tls_context
from web_status.settings import WebSettings
from web_status.studies import add_studies
from web_status.uploads import add_uploads
from web_status.viewer import add_viewer

__all__ = ["WebContext", "make_app", "serve"]

_STATIC = Path(__file__).parent / "static"
_KEEP_ALIVE_SECONDS = 60.0
_SHUTDOWN_SECONDS = 5.0
_LINGERING_SECONDS = 2.0  # for the rest of a body that was refused, so that the answer is read


def make_app(context: WebContext) -> web.Application:
    """Make the application; what each of its routes needs stands in `web_status.roles`.

    Parameters
    ----------
    context
        The node the page is about.
    """
    app = web.Application(
        middlewares=[identify, keep_visitor, friendly_errors, guard, admit],
        client_max_size=BODY_BYTES_MAX,
    )
    app[CONTEXT] = context
    app[DOOR] = Door(context)
    set_up_templates(app, context)
    app.on_response_prepare.append(add_security_headers)
    app.on_response_prepare.append(add_request_id)
    app.cleanup_ctx.append(_ledger_open)
    app.cleanup_ctx.append(hub_running)
    app.cleanup_ctx.append(certificate_watched)
    app.on_shutdown.append(let_clients_go)
    add_pages(app)
    add_studies(app)
    add_nodes(app)
    add_actions(app)
    add_downloads(app)
    add_viewer(app)
    add_ordering(app)
    add_uploads(app)
    add_drafting(app)
    add_rule_versions(app)
    add_login(app)
    add_choosing(app)
    add_metrics(app)
    add_api(app)
    app.router.add_get("/events", events, allow_head=False)
    app.router.add_get("/healthz", _health)
    app.router.add_static("/static", _STATIC, follow_symlinks=False)
    return app


async def serve(app: web.Application, settings: WebSettings) -> web.AppRunner:
    """Start to serve in the running event loop.

    Returns
    -------
    AppRunner
        `runner.addresses` tells where it listens; ``await runner.cleanup()`` ends it.

    Raises
    ------
    OSError
        The port is taken.
    NobodyMayLogIn
        Others than this machine would reach a page without users.
    TlsUnusable
        Certificate or private key cannot be used; never is the page served without them instead.
    """
    require_users(settings, app[CONTEXT].data)
    tls = tls_context(settings)
    # Handlers are not cancelled when a browser goes away: aiohttp would leave the file open
    # that it was just opening for it. A closed page is noticed at the next keep-alive.
    runner = web.AppRunner(
        app,
        access_log=None,
        keepalive_timeout=_KEEP_ALIVE_SECONDS,
        shutdown_timeout=_SHUTDOWN_SECONDS,
        lingering_time=_LINGERING_SECONDS,
        auto_decompress=False,  # a compressed body is refused, so nothing of it is unpacked
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, settings.host, settings.port, ssl_context=tls).start()
    except OSError:
        await runner.cleanup()
        raise
    return runner


async def _ledger_open(app: web.Application) -> AsyncIterator[None]:
    app[LEDGER] = LedgerThread(app[CONTEXT].ledger)
    yield
    await app[LEDGER].close()


async def _health(request: web.Request) -> web.Response:
    if request.app[HUB].has_failed:
        return web.json_response({"status": "live updates have ended"}, status=503)
    return web.json_response({"status": "ok"})
