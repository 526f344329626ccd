"""Settings of the RECEIVE and GROUP steps; `safelight.config` fills them."""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

SIEMENS_CSA_NON_IMAGE = "1.3.12.2.1107.5.9.1"

Port = Annotated[int, Ge(1), Le(65535)]
Seconds = Annotated[float, Gt(0)]


def require_ae_title(value: str, key: str = "ae_title") -> str:
    r"""An AE title (PS3.5 6.2): 1 to 16 printable ASCII characters without a backslash.

    Raises
    ------
    ValueError
        It is not one; the message begins with `key`.

    Examples
    --------
    >>> require_ae_title("PACS1 ")
    'PACS1'
    """
    printable = value.isascii() and value.isprintable() and "\\" not in value
    if not (printable and value.strip() and len(value) <= 16):
        raise ValueError(
            f"{key}: expected an AE title of 1 to 16 ASCII characters without a backslash,"
            f" got {value!r}"
        )
    return value.strip()


@dataclass(frozen=True)
class AcceptRule:
    """One ``[[dicom.accept]]`` table: who may send.

    Attributes
    ----------
    calling_ae
        The sender's AE title, or ``*`` for any.
    addresses
        Networks it may come from, such as ``10.1.2.0/24``.
    """

    calling_ae: str
    addresses: tuple[str, ...]

    def __post_init__(self) -> None:
        for network in self.addresses:
            try:
                ipaddress.ip_network(network)
            except ValueError as error:
                raise ValueError(
                    f"addresses: expected networks such as 10.1.2.0/24; {error}"
                ) from error
        if self.calling_ae != "*":
            require_ae_title(self.calling_ae, "calling_ae")

    @cached_property
    def _networks(self) -> tuple[ipaddress.IPv4Network | ipaddress.IPv6Network, ...]:
        return tuple(ipaddress.ip_network(network) for network in self.addresses)

    def knows(self, calling_ae: str) -> bool:
        """Whether this rule is about `calling_ae`."""
        return self.calling_ae in ("*", calling_ae)

    def reaches(self, address: str) -> bool:
        """Whether `address` is in one of the networks."""
        return any(ipaddress.ip_address(address) in network for network in self._networks)


LOOPBACK = AcceptRule("*", ("127.0.0.0/8", "::1/128"))


@dataclass(frozen=True)
class ReceiverSettings:
    """The ``[dicom]`` table.

    Attributes
    ----------
    ae_title
        Our AE title; an association that calls another is rejected.
    host, port
        Where the receiver listens.
    accept
        Who may send. Anyone else is rejected. The default opens the machine itself only.
    maximum_associations
        Associations at the same time; one more is rejected as a transient failure.
    maximum_pdu_bytes
        The largest P-DATA-TF PDU we ask for.
    idle_seconds
        An association that sends nothing for this long is aborted.
    drain_seconds
        At the end, how long running associations may go on before they are aborted.
    extra_sop_classes
        Private storage SOP classes to accept beside all standard ones.
    """

    ae_title: str = "SAFELIGHT"
    host: str = "0.0.0.0"  # noqa: S104 - a PACS must reach it; `accept` says who may send
    port: Port = 11112
    accept: tuple[AcceptRule, ...] = (LOOPBACK,)
    maximum_associations: Annotated[int, Ge(1), Le(500)] = 50
    maximum_pdu_bytes: Annotated[int, Ge(4096), Le(1 << 20)] = 1 << 17
    idle_seconds: Seconds = 60.0
    drain_seconds: Seconds = 20.0
    extra_sop_classes: tuple[str, ...] = (SIEMENS_CSA_NON_IMAGE,)

    def __post_init__(self) -> None:
        require_ae_title(self.ae_title)


@dataclass(frozen=True)
class GroupingSettings:
    """The ``[series]`` table: when a series is closed.

    Attributes
    ----------
    quiet_seconds
        After its associations ended, how long nothing may have come for a series.
    quiet_seconds_by_modality
        The same for single modalities.
    open_association_seconds
        A series for which nothing came for this long is closed although its association is
        still open: routers may keep one open for days.
    rescan_seconds
        How often the spool is searched for files whose event was lost.
    watch
        ``events`` of the kernel, ``polling``, or ``auto``: events, but polling on filesystems
        that send none (NFS, CIFS) and where the kernel refuses.
    """

    quiet_seconds: Seconds = 10.0
    quiet_seconds_by_modality: Mapping[str, Seconds] = field(default_factory=dict)
    open_association_seconds: Seconds = 300.0
    rescan_seconds: Seconds = 30.0
    watch: Literal["auto", "events", "polling"] = "auto"

    def quiet_seconds_for(self, modality: str) -> float:
        """The quiet time of `modality`."""
        return self.quiet_seconds_by_modality.get(modality, self.quiet_seconds)
