"""Delivers one message, to a webhook or by e-mail, and says what happened."""

import asyncio
from collections.abc import Sequence

from safelight.errors import ConfigError, NotDelivered
from safelight.mailing import log_in, mail
from safelight.messages import Message
from safelight.notify_settings import NotifySettings, SmtpSettings
from safelight.reaching import tls_context
from safelight.secret_values import secret_of
from safelight.webhook import address_of, look, post


def deliver(message: Message, target: NotifySettings, smtp: SmtpSettings) -> str:
    """Deliver a message; return how it was taken.

    Raises
    ------
    NotDelivered
        It was not.
    """
    try:
        if target.email:
            return mail(message, target, smtp)
        return asyncio.run(post(message, target))
    except ConfigError as error:
        raise NotDelivered(str(error)) from error


def reach(target: NotifySettings, smtp: SmtpSettings) -> str:
    """Whether a target can be reached, without telling it anything; raises as `deliver`.

    Of a mail server that is also whether it lets us log in; of a webhook that its certificate is
    good.
    """
    try:
        if target.email:
            return log_in(smtp, target.timeout_seconds)
        return asyncio.run(look(target))
    except ConfigError as error:
        raise NotDelivered(str(error)) from error


def require_usable(notify: Sequence[NotifySettings], smtp: SmtpSettings) -> None:
    """Check that the secrets and authorities of all targets can be read, by this user.

    Raises
    ------
    ConfigError
        One cannot; its table is named.
    """
    for target in notify:
        try:
            _ = secret_of(target.secret), tls_context(target.authorities)
            if target.url:
                address_of(target)
        except ConfigError as error:
            raise ConfigError(f'configuration: [notify] "{target.name}": {error}') from error
    try:
        _ = secret_of(smtp.password), tls_context(smtp.authorities)
    except ConfigError as error:
        raise ConfigError(f"configuration: [smtp] {error}") from error
