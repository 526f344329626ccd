"""The errors of the query client; it draws the tree and decides nothing.

    QueryError
    |-- InvalidKey            a search key that cannot be sent as it was meant
    |-- PacsUnreachable       no TCP connection
    |-- AssociationRejected   connected, and turned away (A-ASSOCIATE-RJ)
    |-- AssociationAborted    connected, and cut off
    |-- PacsTimeout           connected, and no answer
    `-- QueryFailed           answered with a failure status
        |-- ServiceNotOffered the PACS does not offer the service asked for
        `-- RetrieveRefused   C-MOVE or C-GET not performed, with what must be changed where

Each message names the PACS, what was wrong and the remedy. None carries patient data.
"""


class QueryError(Exception):
    """Base of everything the query client raises on purpose."""


class InvalidKey(QueryError, ValueError):
    """A search key cannot be sent as it was meant."""


class PacsUnreachable(QueryError, ConnectionError):
    """No TCP connection to the PACS."""


class AssociationRejected(QueryError, ConnectionError):
    """The PACS answered A-ASSOCIATE-RJ (PS3.8 9.3.4)."""


class AssociationAborted(QueryError, ConnectionError):
    """The association ended before the answer was complete."""


class PacsTimeout(QueryError, TimeoutError):
    """The PACS is connected and silent."""


class QueryFailed(QueryError):
    """The PACS answered with a failure.

    Parameters
    ----------
    message : str
        The PACS, what was wrong and the remedy.
    status : int or None
        The DIMSE status, where there was one.
    """

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class ServiceNotOffered(QueryFailed):
    """The PACS accepted the association and none of its presentation contexts."""


class RetrieveRefused(QueryFailed):
    """The PACS did not perform the C-MOVE or C-GET; `status` says why."""
