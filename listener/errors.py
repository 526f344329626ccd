"""Errors of the RECEIVE and GROUP steps.

ListenerError
├── UnusableInstance      the dataset cannot be kept: a UID is missing or unsafe
│   └── MismatchedInstance  the command and the dataset name different instances
├── UnreadableInstance    a file in the spool is not a readable Part 10 file
├── SpoolUnavailable      the spool cannot be written now
├── PortTaken             another process listens on the DICOM port
├── Deaf                  the receiver cannot take connections any more
├── WatchingEnded         nobody hears of files that land any more
├── TlsUnusable           a certificate or key cannot be used
└── AssociationEnded      the association is over
    ├── ConnectionLost    the connection ended without release or abort
    ├── PeerAborted       the peer sent A-ABORT
    ├── TooSlow           a deadline passed
    └── ProtocolViolation the peer broke the protocol
"""


class ListenerError(Exception):
    """Base of all errors of this package."""


class UnusableInstance(ListenerError, ValueError):
    """The dataset cannot be kept: a UID is missing or would be unsafe as a file name."""


class MismatchedInstance(UnusableInstance):
    """The C-STORE command and its dataset name different instances."""


class UnreadableInstance(ListenerError, ValueError):
    """A file in the spool is not a readable Part 10 file."""


class SpoolUnavailable(ListenerError, OSError):
    """The spool cannot be written now; the sender should try again later."""


class PortTaken(ListenerError, OSError):
    """Another process listens on the port."""


class Deaf(ListenerError):
    """The receiver cannot take connections any more; another process may."""


class WatchingEnded(ListenerError):
    """Nobody hears of files that land any more; a watcher that starts anew does."""


class TlsUnusable(ListenerError, ValueError):
    """A certificate or key cannot be used; the message begins with its key in the configuration."""


class AssociationEnded(ListenerError, ConnectionError):
    """The association is over."""


class ConnectionLost(AssociationEnded):
    """The connection ended without a release or an abort."""


class PeerAborted(AssociationEnded):
    """The peer sent an A-ABORT."""


class TooSlow(AssociationEnded):
    """The peer let a deadline pass."""


class ProtocolViolation(AssociationEnded, ValueError):
    """The peer sent what the protocol does not allow."""
