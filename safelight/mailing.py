"""Sends a message as an e-mail of plain text."""

import smtplib
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from email.message import EmailMessage
from email.utils import format_datetime, localtime

from safelight.errors import NotDelivered
from safelight.messages import Message
from safelight.notify_settings import NotifySettings, SmtpSettings
from safelight.reaching import late, reaching, tls_context
from safelight.secret_values import secret_of


def mail(message: Message, target: NotifySettings, smtp: SmtpSettings) -> str:
    """Have the mail server take a message; return what it took.

    Raises
    ------
    NotDelivered, ConfigError
        It did not, or not for everybody; a secret cannot be read.
    """
    server = _server_of(smtp)
    with _connected(smtp, target.timeout_seconds) as connection:
        refused = connection.send_message(_letter(message, target, smtp))
    if refused:
        raise NotDelivered(
            f"{server} took it, but not for {', '.join(refused)}; correct [notify] email",
            is_final=True,
        )
    return f"{server} took it for {', '.join(target.email)}"


def log_in(smtp: SmtpSettings, seconds: float) -> str:
    """Whether the mail server answers and lets us log in; nothing is sent. Raises as `mail`."""
    with _connected(smtp, seconds):
        return f"{_server_of(smtp)} answers{' and lets us log in' * bool(smtp.username)}"


def _letter(message: Message, target: NotifySettings, smtp: SmtpSettings) -> EmailMessage:
    letter = EmailMessage()
    letter["From"], letter["To"] = smtp.sender, ", ".join(target.email)
    letter["Subject"] = message.subject
    letter["Date"] = format_datetime(localtime())
    letter["Message-ID"] = f"<{message.id}>"
    letter["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answers from holiday replies
    letter.set_content(message.text)
    return letter


@contextmanager
def _connected(smtp: SmtpSettings, seconds: float) -> Iterator[smtplib.SMTP]:
    """A connection to the mail server; what goes wrong over it is told in words."""
    server = _server_of(smtp)
    with reaching(server):
        try:
            with _greeted(smtp, seconds) as connection:
                yield connection
        except smtplib.SMTPException as error:
            raise _refused(server, error) from error


@contextmanager
def _greeted(smtp: SmtpSettings, seconds: float) -> Iterator[smtplib.SMTP]:
    """A connection over TLS and logged in, as configured."""
    context = tls_context(smtp.authorities)
    connection = (
        smtplib.SMTP_SSL(smtp.host, smtp.its_port, timeout=seconds, context=context)
        if smtp.security == "tls"
        else smtplib.SMTP(smtp.host, smtp.its_port, timeout=seconds)
    )
    with closing(connection):
        if smtp.security == "starttls":
            connection.starttls(context=context)
        if smtp.username:
            connection.login(smtp.username, secret_of(smtp.password))
        yield connection
        with suppress(OSError):  # what was taken is taken, whatever it says to our farewell
            connection.quit()


def _server_of(smtp: SmtpSettings) -> str:
    return f"{smtp.host}:{smtp.its_port}"


def _refused(server: str, error: smtplib.SMTPException) -> NotDelivered:
    if isinstance(error, smtplib.SMTPAuthenticationError):
        told = "does not let us log in; correct [smtp] username and password"
        return NotDelivered(f"{server} {told} ({error.smtp_code})", is_final=True)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes = [code for code, _ in error.recipients.values()]
        told = f"takes it for none of {', '.join(error.recipients)} ({codes[0]})"
        final = all(code >= 500 for code in codes)
        return NotDelivered(f"{server} {told}; correct [notify] email", is_final=final)
    if isinstance(error, smtplib.SMTPResponseException):
        told = f"{server} refused it ({error.smtp_code}); its log says why"
        return NotDelivered(told, is_final=error.smtp_code >= 500)
    if isinstance(error, smtplib.SMTPNotSupportedError):
        told = "does not offer what [smtp] security or username asks for"
        return NotDelivered(f"{server} {told}; correct them", is_final=True)
    if isinstance(error.__context__, TimeoutError):  # smtplib calls it a disconnection
        return late(server)
    return NotDelivered(f"{server} ended the conversation ({type(error).__name__})")
