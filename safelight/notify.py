"""Tells systemd how the service is (sd_notify(3)); without systemd it does nothing."""

import logging
import os
import socket
from collections.abc import Mapping

logger = logging.getLogger(__name__)


class Notifier:
    """Sends state to the socket systemd named in the environment.

    Parameters
    ----------
    environ
        Holds ``NOTIFY_SOCKET`` when systemd started us; a leading ``@`` means the abstract
        namespace.
    """

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        address = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def send(self, **state: object) -> None:
        """Send variables such as ``READY=1`` or ``STATUS=receiving``.

        A systemd that is gone or does not read costs the message, never the daemon.
        """
        if not self._address:
            return
        message = "\n".join(f"{name}={value}" for name, value in state.items())
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as notify:
            try:
                notify.sendto(message.encode(), socket.MSG_DONTWAIT, self._address)
            except OSError as error:
                logger.warning("systemd was not told %s: %s", ", ".join(state), error.strerror)
