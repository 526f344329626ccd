"""The storage SCP: takes connections and gives each a thread. It decides nothing about instances.

Several processes may share the listening sockets; `listener.roster` counts over all of them.
"""

import contextlib
import logging
import socket
import ssl
import threading
import time
import uuid
from dataclasses import dataclass

from listener.association import Association, Peer
from listener.commitment import CommitmentDesk, CommitmentStore
from listener.errors import Deaf, ProtocolViolation
from listener.journal import AssociationEvent, JournalWriter, now
from listener.negotiation import Gate
from listener.proxied import source_behind
from listener.roster import Roster
from listener.services import Node
from listener.settings import ReceiverSettings
from listener.sockets import (
    close_gently,
    give_up_sending_after,
    listen,
    plain_address,
    return_after,
)
from listener.spool import Spool
from listener.tls import server_context

logger = logging.getLogger(__name__)

_POLL_SECONDS = 0.05
_TICK_SECONDS = 0.25
_REFUSAL_SECONDS = 0.2
_JOIN_SECONDS = 3.0
_GRACE_SECONDS = 1.0  # for an A-ASSOCIATE-RQ that is on its way when we stop
_DEAF_HEARTBEATS = 30


@dataclass(eq=False)
class _Connection:
    """A TCP connection and the thread that serves it."""

    peer: socket.socket
    address: str
    row: int | None
    opened: float
    association: Association | None = None
    is_associated: bool = False

    def cut(self) -> None:
        """End it; its thread notices."""
        with contextlib.suppress(OSError):
            socket.socket.shutdown(self.peer, socket.SHUT_RDWR)  # under TLS too, at once


@dataclass(eq=False)
class _Door:
    """A listening socket, and how many heartbeats ago a connection could be taken from it."""

    listening: socket.socket
    tls: ssl.SSLContext | None
    deaf_for: int = 0


class Receiver:
    """A storage SCP with Verification and Storage Commitment.

    Parameters
    ----------
    settings
        Who we are, where we listen and who may send.
    spool
        Where instances are kept.
    roster
        The connections of all receiver processes; without one, there is this one only.
    process
        The number of this process among them.
    """

    def __init__(
        self,
        settings: ReceiverSettings,
        spool: Spool,
        roster: Roster | None = None,
        process: int = 0,
    ) -> None:
        self._settings = settings
        self._name = f"receiver-{process}"
        journal = JournalWriter(spool.journal)
        desk = CommitmentDesk(CommitmentStore(spool.root))
        self._node = Node(settings, Gate(settings), spool, journal, desk, self._name)
        self._tls = None if settings.tls is None else server_context(settings.tls)
        self._rows = (roster or Roster(1, settings.maximum_associations)).part(process)
        self._connections: dict[threading.Thread, _Connection] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._doors: dict[threading.Thread, _Door] = {}

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._settings.port

    def start(
        self, plain: socket.socket | None = None, secure: socket.socket | None = None
    ) -> None:
        """Take connections.

        Parameters
        ----------
        plain, secure
            Sockets that listen already, to be shared with others; without them it listens
            itself.

        Raises
        ------
        PortTaken
            Another process has the port.
        """
        settings = self._settings
        plain = plain or listen(settings.host, settings.port)
        if settings.tls is not None:
            secure = secure or listen(settings.host, settings.tls.port)
        self._node.journal.write(
            AssociationEvent("started", now(), uuid.uuid4().hex, receiver=self._name)
        )
        self._open_door(plain, None)
        if secure is not None and self._tls is not None:
            self._open_door(secure, self._tls)

    def heartbeat(self) -> int:
        """Cut connections that never asked for an association; return how many have one.

        Raises
        ------
        Deaf
            Connections cannot be taken any more.
        """
        for door in self._doors.values():
            door.deaf_for += 1
            if door.deaf_for > _DEAF_HEARTBEATS:
                raise Deaf("no connection can be taken any more")
        self._cut_unassociated(self._settings.pdu_seconds)
        with self._lock:
            return sum(connection.is_associated for connection in self._connections.values())

    def stop(self) -> None:
        """Stop accepting, let running associations go on for a bounded time, abort the rest.

        Who connected just now has a moment to ask for an association, which then goes on too.
        """
        self._stopping.set()
        for thread, door in self._doors.items():
            thread.join(_JOIN_SECONDS)
            door.listening.close()
        deadline = time.monotonic() + self._settings.drain_seconds
        while self._connections and time.monotonic() < deadline:
            self._cut_unassociated(_GRACE_SECONDS)
            time.sleep(_POLL_SECONDS)
        self._end_all()

    def _open_door(self, listening: socket.socket, tls: ssl.SSLContext | None) -> None:
        return_after(listening, _TICK_SECONDS)
        door = _Door(listening, tls)
        name = "door" if tls is None else "tls-door"
        thread = threading.Thread(target=self._accept, args=(door,), name=name, daemon=True)
        self._doors[thread] = door
        thread.start()

    def _accept(self, door: _Door) -> None:
        """Take connections until the end; what cannot be taken now waits in the backlog."""
        while not self._stopping.is_set():
            try:
                peer, (address, *_) = door.listening.accept()
            except (BlockingIOError, TimeoutError, ConnectionAbortedError):
                door.deaf_for = 0
                continue
            except OSError as error:  # such as no descriptor being left
                logger.warning("a connection cannot be taken now: %s", error.strerror)
                self._stopping.wait(_REFUSAL_SECONDS)
                continue
            door.deaf_for = 0
            self._admit(peer, plain_address(address), door.tls)

    def _admit(self, peer: socket.socket, address: str, tls: ssl.SSLContext | None) -> None:
        """Give a connection a thread, where its address and we have room for one more."""
        with self._lock:
            row = self._enter(address)
            if row is None:
                peer.close()
                logger.warning("a connection from %s was closed: too many are open", address)
                return
            connection = _Connection(peer, address, row, time.monotonic())
            thread = threading.Thread(
                target=self._serve, args=(connection, tls), name=f"peer-{row}", daemon=True
            )
            self._connections[thread] = connection
        try:
            thread.start()
        except RuntimeError:
            logger.warning("a connection from %s was closed: no thread is left", address)
            self._leave(thread)

    def _enter(self, address: str) -> int | None:
        """Take a row of the roster; a connection without association gives way to a newer one."""
        limit = self._settings.maximum_connections_per_address
        if self._rows.connections_from(address) >= limit:
            self._evict(address)
        row = self._rows.enter(address)
        if row is None and self._evict(None):
            row = self._rows.enter(address)
        return row

    def _evict(self, address: str | None) -> bool:
        """Cut the oldest connection without association; of one address, or of any."""
        for connection in self._connections.values():  # in the order they came
            is_idle = not connection.is_associated and connection.row is not None
            if is_idle and address in (None, connection.address):
                connection.cut()
                self._give_back(connection)
                return True
        return False

    def _give_back(self, connection: _Connection) -> None:
        row, connection.row = connection.row, None
        if row is not None:
            self._rows.leave(row)

    def _associate(self, connection: _Connection) -> bool:
        """Note that a connection has an association, where there is room for one."""
        settings = self._settings
        with self._lock:
            row = connection.row
            if (
                row is None
                or self._rows.associations() >= settings.maximum_associations
                or self._rows.associations_from(connection.address)
                >= settings.maximum_connections_per_address
            ):
                return False
            self._rows.associate(row)
            connection.is_associated = True
            return True

    def _serve(self, connection: _Connection, tls: ssl.SSLContext | None) -> None:
        """Serve one connection to its end; the thread of it does nothing else."""
        try:
            self._identify(connection)
            self._prepare(connection, tls)
            peer = Peer(
                connection.peer,
                connection.address,
                tls is not None,
                lambda: self._associate(connection),
            )
            connection.association = Association(self._node, peer)
            connection.association.run()
            connection.is_associated = False
            close_gently(connection.peer)
        except ProtocolViolation as error:
            logger.warning("a connection from %s was refused: %s", connection.address, error)
        except OSError as error:  # of PROXY header or handshake, or of a connection that was cut
            reason = getattr(error, "reason", None) or error.strerror or str(error)
            self._node.knocks.note(connection.address, reason or type(error).__name__)
            self._note_failed_handshake(connection, error)
        except Exception as error:  # noqa: BLE001 - the boundary of this thread
            logger.error("a connection ended unexpectedly: %s", type(error).__name__)  # noqa: TRY400
        finally:
            self._leave(threading.current_thread())

    def _identify(self, connection: _Connection) -> None:
        """Where a balancer speaks for somebody, have the connection count as theirs."""
        if not self._settings.is_balancer(connection.address):
            return
        source = source_behind(connection.peer)
        if source is None:
            return
        with self._lock:
            limit = self._settings.maximum_connections_per_address
            if self._rows.connections_from(source) >= limit:
                self._evict(source)
            connection.address = source
            if connection.row is not None:
                self._rows.rename(connection.row, source)

    def _note_failed_handshake(self, connection: _Connection, error: OSError) -> None:
        """Have the journal say so, as of an association that was rejected.

        Somebody who only looks whether the port is open, and ends, has failed at nothing.
        """
        is_over = isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError)
        if connection.association is not None or not isinstance(error, ssl.SSLError) or is_over:
            return
        reason = (error.reason or "unknown").lower().replace("_", " ")
        self._node.journal.write(
            AssociationEvent(
                "rejected",
                now(),
                uuid.uuid4().hex,
                receiver=self._name,
                address=connection.address,
                reason=f"the TLS handshake failed: {reason}",
            )
        )

    def _prepare(self, connection: _Connection, tls: ssl.SSLContext | None) -> None:
        """Make reads return now and then; shake hands, off the thread that accepts."""
        peer = connection.peer
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is None:
            return_after(peer, _TICK_SECONDS)
            give_up_sending_after(peer, self._settings.pdu_seconds)
            return
        peer.settimeout(self._settings.pdu_seconds)
        connection.peer = tls.wrap_socket(peer, server_side=True, do_handshake_on_connect=False)
        connection.peer.do_handshake()
        connection.peer.settimeout(_TICK_SECONDS)

    def _leave(self, thread: threading.Thread) -> None:
        with self._lock:
            connection = self._connections.pop(thread)
            connection.association = None
            self._give_back(connection)
        connection.peer.close()

    def _cut_unassociated(self, seconds: float) -> None:
        """Cut connections that did not ask for an association within `seconds`."""
        limit = time.monotonic() - seconds
        with self._lock:
            for connection in self._connections.values():
                if not connection.is_associated and connection.opened < limit:
                    connection.cut()

    def _end_all(self) -> None:
        """Abort what is left, and wait for it for a bounded time."""
        with self._lock:
            left = dict(self._connections)
        for connection in left.values():
            if connection.association is not None:
                connection.association.stop()
        deadline = time.monotonic() + _JOIN_SECONDS
        for thread in left:
            thread.join(max(0.0, deadline - time.monotonic()))
        for connection in left.values():
            connection.cut()
