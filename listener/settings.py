"""Settings of the RECEIVE and GROUP steps; `safelight.config` fills them."""

import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le

RELIEF = 1.25
"""What was held up for want of space begins again with so many times its mark free."""

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


Permission = Literal["echo", "store", "commit"]
_IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True)
class AcceptRule:
    """One ``[[dicom.accept]]`` table: who may associate with us, and for what.

    Attributes
    ----------
    calling_ae
        The sender's AE title, or ``*`` for any.
    addresses
        Networks it may come from, such as ``10.1.2.0/24``.
    called_ae
        The AE titles it may call; empty for ``[dicom] ae_title``.
    may
        What it may do: ``echo`` (Verification), ``store``, ``commit`` (Storage Commitment).
    tls
        Whether it must come over TLS.
    username, passcode
        The user identity it must give (PS3.7 D.3.3.7); empty for none. A username alone is
        believed, as the standard has it.
    report_to
        ``host:port`` to which storage commitment results go on a new association; empty for
        the association of the request.
    silent_hours
        The page says so when it has brought no instance for so long; None for never.
    """

    calling_ae: str
    addresses: tuple[str, ...]
    called_ae: tuple[str, ...] = ()
    may: tuple[Permission, ...] = ("echo", "store", "commit")
    tls: bool = False
    username: str = ""
    passcode: str = field(default="", repr=False)
    report_to: str = ""
    silent_hours: Annotated[float, Gt(0)] | None = None

    def __post_init__(self) -> None:
        _networks_of(self.addresses, "addresses")
        if self.calling_ae != "*":
            require_ae_title(self.calling_ae, "calling_ae")
        for title in self.called_ae:
            require_ae_title(title, "called_ae")
        if self.passcode and not self.username:
            raise ValueError("username: missing; a passcode belongs to one")
        if self.silent_hours is not None and self.calling_ae == "*":
            raise ValueError("silent_hours: expected a calling_ae other than * to be missed")
        if self.report_to:
            host_and_port(self.report_to, "report_to")

    @cached_property
    def _networks(self) -> tuple[_IpNetwork, ...]:
        return _networks_of(self.addresses, "addresses")

    def knows(self, calling_ae: str) -> bool:
        """Whether this rule is about `calling_ae`."""
        return self.calling_ae in ("*", calling_ae)

    def reaches(self, address: str) -> bool:
        """Whether `address` is in one of the networks."""
        return any(ipaddress.ip_address(address) in network for network in self._networks)

    def answers_to(self, called_ae: str, ae_title: str) -> bool:
        """Whether it may call `called_ae`, where `ae_title` is ours."""
        return called_ae in (self.called_ae or (ae_title,))

    def recognizes(self, username: str, passcode: str) -> bool:
        """Whether a user identity is the one that is asked for."""
        given = f"{username}\0{passcode}" if self.passcode else username
        wanted = f"{self.username}\0{self.passcode}" if self.passcode else self.username
        return not wanted or hmac.compare_digest(given.encode(), wanted.encode())


def _networks_of(values: tuple[str, ...], key: str) -> tuple[_IpNetwork, ...]:
    """What is written as networks.

    Raises
    ------
    ValueError
        One is none; the message begins with `key`.
    """
    try:
        return tuple(ipaddress.ip_network(network) for network in values)
    except ValueError as error:
        raise ValueError(f"{key}: expected networks such as 10.1.2.0/24; {error}") from error


def host_and_port(value: str, key: str) -> tuple[str, int]:
    """Split ``host:port``; an IPv6 address stands in brackets.

    Raises
    ------
    ValueError
        It is not one; the message begins with `key`.
    """
    host, _, port = value.rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{key}: expected host:port, such as 10.1.2.3:104, got {value!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


@dataclass(frozen=True)
class TlsSettings:
    """The ``[dicom.tls]`` table: a second port that speaks TLS (PS3.15 B.12).

    Attributes
    ----------
    certificate, private_key
        Our certificate with what leads to its authority, and its key; PEM files.
    authorities
        Whose certificates senders must have, a PEM file; without it none is asked for.
    port
        Where it listens; 2762 is registered for DICOM over TLS.
    """

    certificate: Path
    private_key: Path
    authorities: Path | None = None
    port: Port = 2762


@dataclass(frozen=True)
class ReceiverSettings:
    """The ``[dicom]`` table.

    Attributes
    ----------
    ae_title
        Our AE title.
    host, port
        Where the receiver listens.
    tls
        A second port that speaks TLS.
    accept
        Who may associate with us. Anyone else is rejected.
    proxy_from
        Networks of load balancers, which say by the PROXY protocol for whom they speak.
    processes
        Receiver processes that share the port.
    maximum_associations
        Associations at the same time, over all processes; one more is rejected as a
        transient failure.
    maximum_connections_per_address
        TCP connections from one address, over all processes.
    maximum_pdu_bytes
        The largest P-DATA-TF PDU we take.
    maximum_instance_bytes
        The largest dataset we take; a larger one is answered with 0xA700.
    pdu_seconds
        How long a PDU may take from its first byte to its last, a new connection until it
        asks for an association (PS3.8 9.1.5, ARTIM), and a TLS handshake.
    instance_seconds
        How long an instance may take from its first byte to its last.
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
    tls: TlsSettings | None = None
    accept: tuple[AcceptRule, ...] = ()
    proxy_from: tuple[str, ...] = ()
    processes: Annotated[int, Ge(1), Le(16)] = 2
    maximum_associations: Annotated[int, Ge(1), Le(500)] = 50
    maximum_connections_per_address: Annotated[int, Ge(1), Le(500)] = 20
    maximum_pdu_bytes: Annotated[int, Ge(4096), Le(1 << 20)] = 1 << 17
    maximum_instance_bytes: Annotated[int, Ge(1 << 20)] = 1 << 32
    pdu_seconds: Seconds = 30.0
    instance_seconds: Seconds = 600.0
    idle_seconds: Seconds = 60.0
    drain_seconds: Seconds = 20.0
    extra_sop_classes: tuple[str, ...] = (SIEMENS_CSA_NON_IMAGE,)

    def __post_init__(self) -> None:
        require_ae_title(self.ae_title)
        _networks_of(self.proxy_from, "proxy_from")

    @cached_property
    def _balancers(self) -> tuple[_IpNetwork, ...]:
        return _networks_of(self.proxy_from, "proxy_from")

    def is_balancer(self, address: str) -> bool:
        """Whether who connects from `address` must say for whom (PROXY protocol)."""
        return any(ipaddress.ip_address(address) in network for network in self._balancers)


@dataclass(frozen=True)
class GroupingSettings:
    """The ``[series]`` table: when a series is closed.

    Attributes
    ----------
    quiet_seconds
        After its associations ended, how long nothing may have come for a series.
    quiet_seconds_by_modality, quiet_seconds_by_ae
        The same for single modalities, and for single calling AE titles, which go first.
    study_quiet_seconds
        After all its series were closed, how long nothing may have come for a study.
    open_association_seconds
        A series or study for which nothing came for this long is closed although its
        association is still open, or a C-MOVE has not ended: routers may keep one open for days.
    rescan_seconds
        How often the spool is searched for files whose event was lost.
    watch
        ``events`` of the kernel, ``polling``, or ``auto``: events, but polling on filesystems
        that send none (NFS, CIFS) and where the kernel refuses.
    """

    quiet_seconds: Seconds = 10.0
    quiet_seconds_by_modality: Mapping[str, Seconds] = field(default_factory=dict)
    quiet_seconds_by_ae: Mapping[str, Seconds] = field(default_factory=dict)
    study_quiet_seconds: Seconds = 60.0
    open_association_seconds: Seconds = 300.0
    rescan_seconds: Seconds = 30.0
    watch: Literal["auto", "events", "polling"] = "auto"

    def quiet_seconds_for(self, modality: str, calling_ae: str) -> float:
        """The quiet time of what `calling_ae` sends of `modality`."""
        of_modality = self.quiet_seconds_by_modality.get(modality, self.quiet_seconds)
        return self.quiet_seconds_by_ae.get(calling_ae, of_modality)
