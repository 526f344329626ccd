"""Real peers of notifications: an HTTP server and a mail server on sockets of their own."""

import asyncio
import hashlib
import hmac
import ssl
import threading
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import pytest
import trustme
from aiohttp import web
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from ledger.notification_records import Notification
from safelight.config import Config
from safelight.messages import message_of
from safelight.notify_settings import NotifySettings, SmtpSettings

KEYS = {"timeout_seconds": 5.0, "retry_seconds": 0.05}


@dataclass
class Webhook:
    """A webhook that answers by `answer`: a status, or a coroutine function of the request."""

    url: str
    answer: object = 200
    got: list = field(default_factory=list)  # JSON of each POST
    headers: list = field(default_factory=list)
    bodies: list = field(default_factory=list)

    async def handle(self, request):
        if request.method == "POST":
            self.bodies.append(await request.read())
            self.got.append(await request.json())
            self.headers.append(request.headers)
        answer = self.answer.pop(0) if isinstance(self.answer, list) else self.answer
        return web.Response(status=answer) if isinstance(answer, int) else await answer(request)

    def is_signed_with(self, secret):
        """Whether the last request is signed as the documentation says."""
        stamp = self.headers[-1]["X-Safelight-Timestamp"]
        told = hmac.new(secret.encode(), stamp.encode() + b"." + self.bodies[-1], hashlib.sha256)
        return self.headers[-1]["X-Safelight-Signature"] == f"sha256={told.hexdigest()}"


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """A certificate authority, the path of its certificate, and a server context of it."""
    folder = tmp_path_factory.mktemp("authority")
    made = trustme.CA()
    made.cert_pem.write_to_path(folder / "authority.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    return folder / "authority.pem", context


@pytest.fixture
def webhook(free_port):
    """Function that starts a webhook, with TLS where it is given a context."""
    with ExitStack() as running:

        def start(answer=200, context=None, port=None):
            port = port or free_port()
            hook = Webhook(f"{'https' if context else 'http'}://localhost:{port}/hook", answer)
            running.enter_context(Serving(hook, port, context))
            return hook

        yield start


class Serving:
    """An aiohttp server in a thread of its own."""

    def __init__(self, hook, port, context):
        self.hook, self.port, self.context = hook, port, context
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run)

    async def serve(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.hook.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=self.context).start()
        self.end = asyncio.Event()
        self.ready.set()
        await self.end.wait()
        await runner.cleanup()

    def run(self):
        with closing(self.loop):
            self.loop.run_until_complete(self.serve())

    def __enter__(self):
        self.thread.start()
        self.ready.wait()

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self.end.set)
        self.thread.join()


@dataclass
class Mailbox:
    """What a mail server took; it refuses recipients that begin with ``nobody``."""

    port: int
    letters: list = field(default_factory=list)  # the content, as it came
    recipients: list = field(default_factory=list)

    async def handle_RCPT(self, server, session, envelope, address, options):  # noqa: N802
        if address.startswith("nobody"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):  # noqa: N802
        self.letters.append(envelope.content)
        self.recipients.append(envelope.rcpt_tos)
        return "250 taken"


def _login(server, session, envelope, mechanism, data):
    is_ours = data.login == b"safelight" and data.password == b"pass-of-mail"
    return AuthResult(success=is_ours, handled=is_ours)


@pytest.fixture
def mail_server(free_port, authority):
    """Function that starts a mail server; `security` as in the configuration."""
    with ExitStack() as running:

        def start(security="none", port=None):
            box = Mailbox(port or free_port())
            context = authority[1]
            options = {"starttls": {"tls_context": context, "require_starttls": True}}
            options = options.get(security, {})
            if security != "none":
                is_starttls = security == "starttls"  # of a connection over TLS it knows nothing
                options |= {"auth_required": is_starttls, "auth_require_tls": is_starttls}
                options |= {"authenticator": _login}
            controller = Controller(
                box,
                hostname="localhost",
                port=box.port,
                ssl_context=context if security == "tls" else None,
                server_hostname="localhost",
                **options,
            )
            controller.start()
            running.callback(controller.stop)
            return box

        yield start


@pytest.fixture
def smtp(authority):
    """Function that returns the ``[smtp]`` table of a mail server."""

    def table(box, security="none", **keys):
        if security != "none":
            keys = {"username": "safelight", "password": "pass-of-mail", **keys}
        sender = "safelight@hospital.example"
        keys = {"sender": sender, "authorities": authority[0], **keys}
        return SmtpSettings("localhost", box.port, security, **keys)

    return table


@pytest.fixture
def to():
    """Function that returns a ``[[notify]]``, named after where it goes."""

    def settings(url="", email=(), **keys):
        name = "team" if url else "on-call"
        return NotifySettings(name, url, email, **{**KEYS, **keys})

    return settings


@pytest.fixture
def composed():
    """Function that returns the message of a notification to a target."""

    def message(target, event="test", **facts):
        facts = facts or {"what": "This is a test."}
        at = "2026-11-28T10:00:00.000+00:00"
        return message_of(Notification(7, target.name, event, at, facts), target, Config())

    return message
