"""What must be known about a PACS to ask it anything; it reads no file."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from listener.settings import require_ae_title

Method = Literal["move", "get", "dicomweb"]
METHODS: tuple[Method, ...] = get_args(Method)
SendMethod = Literal["store", "dicomweb"]


@dataclass(frozen=True)
class PacsSettings:
    """One ``[[pacs]]`` table.

    Parameters
    ----------
    name : str
        What the site calls it.
    ae_title : str
        Its AE title, the called AE title of every association.
    host : str
        Host name or address.
    port : int
        Its DICOM port.
    max_results : int
        Matches taken from one C-FIND; the rest is cancelled.
    connect_seconds : float
        Wait for the TCP connection.
    response_seconds : float
        Wait for the association, and for each C-ECHO and C-FIND response.
    move_seconds : float
        Wait between two C-MOVE responses. Long: some archives fetch from tape first.
    cancel_seconds : float
        Wait for the end of a C-FIND after C-CANCEL; then the association is aborted.
    fallback_charset : str
        A DICOM character set (such as ``GB18030``) for text that is not ASCII but is labelled
        as Latin-1 or not at all. Used only where the text is valid in it; empty means never.
    retrieve : str
        How instances come from it: ``move`` (C-MOVE to our own receiver), ``get`` (C-GET) or
        ``dicomweb`` (QIDO-RS and WADO-RS).
    send : str
        How instances go to it: ``store`` (C-STORE) or ``dicomweb`` (STOW-RS).
    url : str
        The root of its DICOMweb services; needed for ``dicomweb``.
    username, password : str
        For HTTP basic authentication there; empty for none.
    parallel : int
        Accession numbers retrieved from it at once; each has one association at a time.
    streams : int
        C-MOVE associations over which one accession number is spread, where the PACS lists its
        instances; it must take lists of UIDs at the IMAGE level.
    pause_seconds : float
        Wait between the end of one accession number and the beginning of the next.
    window : str
        The local time of day in which one may begin, such as ``20:00-06:00``; empty for any.
    deadline_seconds : float
        One accession number may take as long; then it is killed, and tried again.
    arrival_seconds : float
        Wait for instances after the PACS says that it has sent them, from the last that came.

    Raises
    ------
    ValueError
        If a value is impossible; the message names it.
    """

    name: str
    ae_title: str
    host: str
    port: int
    max_results: int = 1000
    connect_seconds: float = 10.0
    response_seconds: float = 30.0
    move_seconds: float = 600.0
    cancel_seconds: float = 10.0
    fallback_charset: str = ""
    retrieve: Method = "move"
    send: SendMethod = "store"
    url: str = ""
    username: str = ""
    password: str = field(default="", repr=False)
    parallel: int = 1
    streams: int = 1
    pause_seconds: float = 0.0
    window: str = ""
    deadline_seconds: float = 7200.0
    arrival_seconds: float = 30.0

    def __post_init__(self) -> None:
        require_ae_title(self.ae_title)
        if not self.host.strip():
            raise ValueError("host: expected a host name or an address")
        if not 1 <= self.port <= 65535:
            raise ValueError(f"port: expected 1 to 65535, got {self.port}")
        if self.fallback_charset and not _is_charset(self.fallback_charset):
            raise ValueError(
                f"fallback_charset = {self.fallback_charset!r}: expected a DICOM character set "
                "such as GB18030"
            )
        for key in _POSITIVE:
            if getattr(self, key) <= 0:
                raise ValueError(f"{key}: expected more than 0, got {getattr(self, key)}")
        for key in ("retrieve", "send"):
            if getattr(self, key) == "dicomweb" and not self.url:
                raise ValueError(f'url: missing; {key} = "dicomweb" needs the root of its services')
        if self.url and ("@" in self.url or not self.url.startswith(("http://", "https://"))):
            raise ValueError("url: expected http:// or https://, without a user and password")
        if self.pause_seconds < 0:
            raise ValueError(f"pause_seconds: expected 0 or more, got {self.pause_seconds}")


_POSITIVE = (
    "max_results",
    "connect_seconds",
    "response_seconds",
    "move_seconds",
    "cancel_seconds",
    "parallel",
    "streams",
    "deadline_seconds",
    "arrival_seconds",
)


def _is_charset(name: str) -> bool:
    # Imported here: it takes longer than most commands that read a configuration.
    from pydicom.charset import python_encoding  # noqa: PLC0415

    return name in python_encoding
